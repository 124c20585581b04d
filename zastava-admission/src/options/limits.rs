//! `zastava.webhook.limits`: what callers may take.

use std::time::Duration;

use zastava_core::config::{ByteSize, Section};

/// Beyond a day, an age is none.
const CONNECTION_AGE_LARGEST: Duration = Duration::from_secs(24 * 3600);

/// `zastava.webhook.limits`
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LimitOptions {
    /// The largest review in bytes. A larger one is denied, by what its beginning says.
    // docs/design/admission.md#how-long-can-a-review-be
    pub body_bytes_max: usize,
    /// The memory for all bodies together, in bytes, without the first 64 KiB of each.
    pub all_bodies_bytes_max: usize,
    /// Connections served at once. Idle ones give way to new ones.
    pub connections_max: usize,
    /// A connection of about this age ends with its next answer, so that API servers find all replicas. Each has an age
    /// of its own, up to a fifth more or less.
    pub connection_age_max: Duration,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 40 << 20,
            all_bodies_bytes_max: 64 << 20,
            connections_max: 512,
            connection_age_max: Duration::from_secs(600),
        }
    }
}

impl LimitOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let bytes = |key, default: usize, largest: u64, form| {
            let range = ByteSize(1 << 10)..=ByteSize::mebibytes(largest);
            let size = section.checked(key, ByteSize(default as u64), form, |size| range.contains(size));
            usize::try_from(size.0).unwrap_or(default)
        };
        let body_bytes_max = bytes("maxBodyBytes", defaults.body_bytes_max, 64, "a size from 1KiB to 64MiB");
        let all_bodies_bytes_max =
            bytes("maxBodiesBytes", defaults.all_bodies_bytes_max, 1024, "a size from 1KiB to 1GiB");
        if all_bodies_bytes_max < body_bytes_max {
            section.conflict(
                "maxBodiesBytes",
                "is smaller than maxBodyBytes: the largest body would find no room",
            );
        }
        let connections_max = section.checked(
            "maxConnections",
            defaults.connections_max,
            "a number from 1 to 65536",
            |number| (1..=65536).contains(number),
        );
        let connection_age_max = section.checked(
            "maxConnectionAge",
            defaults.connection_age_max,
            "a time from 1ms to 24h",
            |age| (Duration::from_millis(1)..=CONNECTION_AGE_LARGEST).contains(age),
        );
        section.finish();
        Self { body_bytes_max, all_bodies_bytes_max, connections_max, connection_age_max }
    }
}
