//! `zastava.webhook.limits`: what callers may take.

use zastava_core::config::{ByteSize, Section};

/// `zastava.webhook.limits`
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LimitOptions {
    /// The largest review in bytes. Two objects of up to 3 MB and the envelope must fit.
    pub body_bytes_max: usize,
    /// Connections served at once. Further ones wait in the kernel's queue.
    pub connections_max: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { body_bytes_max: 8 << 20, connections_max: 512 }
    }
}

impl LimitOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let body = section.checked(
            "maxBodyBytes",
            ByteSize(defaults.body_bytes_max as u64),
            "a size from 1KiB to 64MiB",
            |size| (ByteSize(1 << 10)..=ByteSize::mebibytes(64)).contains(size),
        );
        let connections_max = section.checked(
            "maxConnections",
            defaults.connections_max,
            "a number from 1 to 65536",
            |number| (1..=65536).contains(number),
        );
        section.finish();
        Self { body_bytes_max: usize::try_from(body.0).unwrap_or(defaults.body_bytes_max), connections_max }
    }
}
