//! How long a token is used, and when the next one is requested.

use std::time::Duration;

use zastava_core::clock::Timestamp;

use crate::clock_reading::ClockReading;

/// A token is not used this close to its end, or within the last quarter of a short life.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// The instant of a refresh is drawn from this first share of the lead, so that a fleet spreads
/// out. With the usual lead of half the life, it lies between 50 and 80 % of the life.
const REFRESH_SPREAD: f64 = 0.6;

/// When a token was requested, and how long it lives from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) requested_at: ClockReading,
    length: Duration,
    /// How long before the end the time to refresh begins.
    lead: Duration,
}

impl Lifetime {
    /// Counted from the start of the request. The lead is the setting, or half of a short life.
    pub(super) fn new(requested_at: ClockReading, expires_at: Timestamp, refresh_skew: Duration) -> Self {
        let length = expires_at.saturating_since(requested_at.wall);
        Self { requested_at, length, lead: refresh_skew.min(length / 2) }
    }

    /// How long the token is used.
    pub(super) fn usable_for(&self) -> Duration {
        self.length - self.margin()
    }

    /// When to request the next one. `jitter` is a random number from 0 to 1.
    pub(super) fn refresh_after(&self, jitter: f64) -> Duration {
        let lead = self.lead.mul_f64(1.0 - REFRESH_SPREAD * jitter).max(self.margin());
        self.length.saturating_sub(lead)
    }

    /// Whether the time to refresh it has not begun.
    pub(super) fn is_fresh(&self, now: ClockReading) -> bool {
        now.since(self.requested_at) < self.refresh_after(0.0)
    }

    fn margin(&self) -> Duration {
        EXPIRY_MARGIN.min(self.length / 4)
    }
}
