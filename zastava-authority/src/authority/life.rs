//! How long a token serves, and when the next is asked for.

use std::time::Duration;

use zastava_core::clock::Timestamp;

use crate::moment::Moment;

/// A token is not given out this close to its end, or within the last quarter of a short life.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// A refreshing instant is drawn from this first share of the lead, so that a fleet spreads out:
/// with the usual half of the life as lead, between 50 and 80 % of it.
const REFRESH_SPREAD: f64 = 0.6;

/// The life of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) requested_at: Moment,
    length: Duration,
    /// How long before its end the time to refresh begins.
    lead: Duration,
}

impl Life {
    /// Counted from the start of the request. The lead is the setting, or half of a short life.
    pub(super) fn new(requested_at: Moment, expires_at: Timestamp, refresh_skew: Duration) -> Self {
        let length = expires_at.saturating_since(requested_at.wall);
        Self { requested_at, length, lead: refresh_skew.min(length / 2) }
    }

    /// How long it is given out.
    pub(super) fn usable_for(&self) -> Duration {
        self.length - self.margin()
    }

    /// When to ask for the next; `jitter` is a random number from 0 to 1.
    pub(super) fn refresh_after(&self, jitter: f64) -> Duration {
        let lead = self.lead.mul_f64(1.0 - REFRESH_SPREAD * jitter).max(self.margin());
        self.length.saturating_sub(lead)
    }

    /// Whether it has some time before it should be refreshed.
    pub(super) fn is_fresh(&self, now: Moment) -> bool {
        now.since(self.requested_at) < self.refresh_after(0.0)
    }

    fn margin(&self) -> Duration {
        EXPIRY_MARGIN.min(self.length / 4)
    }
}
