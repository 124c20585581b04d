//! How fast events are sent. Scanner's answers decide, within the bounds of the settings.

use std::time::{Duration, Instant};

use crate::token_bucket::TokenBucket;

/// How much faster after each acknowledged event: the rate doubles three times a second until Scanner first asks to slow
/// down.
const GROWTH: f64 = 2.0;
/// The same after that: the rate doubles in about seven seconds.
const GROWTH_AFTER_THROTTLE: f64 = 0.1;

/// The rate of sending, in events a second.
///
/// It starts at the least rate. Acknowledgements raise it while it is what holds the sender back. A 429 halves it, and
/// a failure takes it back to the least rate, since a server that comes back is met by all nodes at once.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: TokenBucket,
    least: f64,
    most: f64,
    growth: f64,
    /// Whether the last batch had to wait for its turn.
    is_held: bool,
}

impl Pace {
    pub(super) fn new(least: u32, most: u32, burst: u32, now: Instant) -> Self {
        Self {
            bucket: TokenBucket::new(f64::from(least), burst, now),
            least: f64::from(least),
            most: f64::from(most.max(least)),
            growth: GROWTH,
            is_held: false,
        }
    }

    /// Events a second now.
    pub(super) fn per_second(&self) -> f64 {
        self.bucket.per_second()
    }

    /// How long to wait before so many events are taken from the buffer.
    pub(super) fn ready_in(&mut self, count: usize, now: Instant) -> Duration {
        let wait = self.bucket.ready_in(count, now);
        self.is_held = !wait.is_zero();
        wait
    }

    /// So many events are about to be sent. Returns how long to wait before that.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Duration {
        self.bucket.take(count, now)
    }

    /// Scanner took so many events.
    pub(super) fn acknowledged(&mut self, count: usize, now: Instant) {
        if self.is_held {
            let rate = self.per_second() + self.growth * count as f64;
            self.bucket.set_rate(rate.min(self.most), now);
        }
    }

    /// Scanner asks to slow down.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.growth = GROWTH_AFTER_THROTTLE;
        self.bucket.set_rate((self.per_second() / 2.0).max(self.least), now);
        self.bucket.empty(now);
    }

    /// Scanner did not take a batch for another reason.
    pub(super) fn failed(&mut self, now: Instant) {
        self.growth = GROWTH;
        self.bucket.set_rate(self.least, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends batches of `count` for `seconds` against a server that takes `limit` events a second, in simulated time.
    /// Returns how many it took and how often it said 429.
    fn drain(pace: &mut Pace, start: Instant, seconds: u64, limit: Option<u32>) -> (usize, u32) {
        const BATCH: usize = 50;
        let mut server =
            TokenBucket::new(f64::from(limit.unwrap_or(u32::MAX)), limit.unwrap_or(u32::MAX), start);
        let (mut now, end) = (start, start + Duration::from_secs(seconds));
        let (mut taken, mut refused) = (0, 0);
        while now < end {
            now += pace.ready_in(BATCH, now);
            now += pace.take(BATCH, now) + Duration::from_millis(5);
            if server.ready_in(BATCH, now).is_zero() {
                server.take(BATCH, now);
                taken += BATCH;
                pace.acknowledged(BATCH, now);
            } else {
                refused += 1;
                pace.throttled(now);
                now += Duration::from_secs(1);
            }
        }
        (taken, refused)
    }

    #[test]
    fn acknowledgements_raise_the_rate_up_to_the_setting() {
        let start = Instant::now();
        let mut pace = Pace::new(50, 5000, 200, start);
        let (taken, refused) = drain(&mut pace, start, 5, None);
        assert!((10_000..25_000).contains(&taken) && refused == 0, "{taken}");
        assert!((pace.per_second() - 5000.0).abs() < 1.0, "{}", pace.per_second());
    }

    #[test]
    fn a_server_with_a_limit_is_used_to_the_full_and_seldom_asked_too_much() {
        let start = Instant::now();
        let mut pace = Pace::new(50, 5000, 200, start);
        let (taken, refused) = drain(&mut pace, start, 120, Some(400));
        assert!(taken > 120 * 400 / 2, "{taken}");
        assert!(refused < 30, "{refused}");
    }

    #[test]
    fn a_rate_that_nothing_waits_for_does_not_grow() {
        let start = Instant::now();
        let mut pace = Pace::new(50, 5000, 200, start);
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            assert_eq!(pace.ready_in(10, now) + pace.take(10, now), Duration::ZERO);
            pace.acknowledged(10, now);
        }
        assert!((pace.per_second() - 50.0).abs() < 0.1);
    }

    #[test]
    fn it_never_falls_below_the_least_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(50, 5000, 200, start);
        (0..9).for_each(|_| pace.throttled(start));
        assert!((pace.per_second() - 50.0).abs() < 0.1);
        drain(&mut pace, start, 60, None);
        pace.failed(start);
        assert!((pace.per_second() - 50.0).abs() < 0.1);
    }
}
