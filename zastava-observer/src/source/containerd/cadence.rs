//! When to list. A list costs containerd far more than it costs the observer, and a stream that works needs none.
//!
//! A list that finds what the stream did not tell is followed by the next one after the poll interval. Each list that finds
//! nothing doubles the wait, up to about 45 s. Whatever casts doubt on the stream calls for a list at once.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The longest wait is drawn evenly from two thirds to four thirds of this, so that a fleet does not list in step.
const WAIT_MAX: Duration = Duration::from_secs(45);

/// The waits between lists.
#[derive(Debug)]
pub(super) struct Cadence {
    interval: Duration,
    wait: Duration,
}

impl Cadence {
    /// `interval` is the wait while the stream cannot be trusted.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, wait: interval }
    }

    /// The wait while the stream cannot be trusted.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// The stream did not tell everything.
    pub(super) fn doubt(&mut self) {
        self.wait = self.interval;
    }

    /// How long to wait after a list.
    pub(super) fn next(&mut self) -> Duration {
        // The keys of each `RandomState` are random enough to spread waits.
        self.next_with(RandomState::new().build_hasher().finish())
    }

    /// The same, with the given random number.
    fn next_with(&mut self, random: u64) -> Duration {
        let wait = self.wait;
        self.wait = wait.saturating_mul(2).min(WAIT_MAX.max(self.interval));
        if wait < WAIT_MAX {
            return wait;
        }
        let part = (random >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(2.0 / 3.0 + part * 2.0 / 3.0).max(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_rare_while_they_find_nothing() {
        let mut cadence = Cadence::new(Duration::from_secs(2));
        let mut next = |random| cadence.next_with(random).as_secs_f64().round();
        assert_eq!([next(0), next(0), next(0), next(0), next(0)], [2., 4., 8., 16., 32.]);
        assert_eq!([next(0), next(u64::MAX), next(u64::MAX / 2)], [30., 60., 45.]);
        cadence.doubt();
        assert_eq!(cadence.next(), Duration::from_secs(2));
    }

    #[test]
    fn an_interval_that_is_longer_is_kept() {
        let mut cadence = Cadence::new(Duration::from_secs(3600));
        assert!((0..10).all(|_| cadence.next_with(0) >= Duration::from_secs(3600)));
    }
}
