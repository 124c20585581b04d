//! A limit on the rate of events.

use std::time::{Duration, Instant};

/// Allows an average rate, and a burst after a pause. A batch larger than what is left is sent as a whole
/// after a wait that makes up for it.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    left: f64,
    counted: Instant,
}

impl TokenBucket {
    pub(crate) fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second, burst, left: burst, counted: now }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Changes the average rate from now on.
    pub(crate) fn set_rate(&mut self, per_second: f64, now: Instant) {
        self.refill(now);
        self.per_second = per_second;
    }

    /// Takes all tokens.
    pub(crate) fn empty(&mut self, now: Instant) {
        self.refill(now);
        self.left = self.left.min(0.0);
    }

    /// How long to wait until [`take`](Self::take) gives so many without a wait.
    pub(crate) fn ready_in(&mut self, count: usize, now: Instant) -> Duration {
        self.refill(now);
        self.time_for((count as f64).min(self.burst) - self.left)
    }

    /// Takes `count` tokens and returns how long to wait before using them.
    pub(crate) fn take(&mut self, count: usize, now: Instant) -> Duration {
        self.refill(now);
        self.left -= count as f64;
        self.time_for(-self.left)
    }

    /// Takes a token if there is one.
    pub(crate) fn take_one(&mut self, now: Instant) -> bool {
        let is_there = self.ready_in(1, now).is_zero();
        self.left -= f64::from(u8::from(is_there));
        is_there
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = now;
        self.left = (self.left + passed.as_secs_f64() * self.per_second).min(self.burst);
    }

    fn time_for(&self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64((tokens / self.per_second).max(0.0)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(50.0, 200, start);
        assert_eq!(bucket.take(200, start), Duration::ZERO);
        assert_eq!(bucket.take(50, start), Duration::from_secs(1));
        assert_eq!(bucket.take(50, start + Duration::from_secs(1)), Duration::from_secs(1));
        // However long the pause, it saves up one burst.
        assert_eq!(bucket.take(256, start + Duration::from_secs(3600)), Duration::from_millis(1120));
    }

    #[test]
    fn waiting_first_makes_taking_free() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(50.0, 200, start);
        bucket.empty(start);
        let ready = bucket.ready_in(25, start);
        assert_eq!(ready, Duration::from_millis(500));
        assert_eq!(bucket.take(25, start + ready), Duration::ZERO);
        // More than a burst is never saved up; what is missing is waited for when it is taken.
        assert_eq!(bucket.ready_in(256, start + ready), Duration::from_secs(4));
    }

    #[test]
    fn what_does_not_wait_takes_a_token_or_none() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(0.5, 2, start);
        assert_eq!(
            [0, 0, 0, 1, 2, 2].map(|after| bucket.take_one(start + Duration::from_secs(after))),
            [true, true, false, false, true, false]
        );
    }
}
