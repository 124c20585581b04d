//! A limit on the rate of events.

use std::time::{Duration, Instant};

/// Allows an average rate, and a burst after a pause. A batch larger than what is left is sent as a whole
/// after a wait that makes up for it.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    per_second: f64,
    burst: f64,
    left: f64,
    counted: Instant,
}

impl TokenBucket {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, left: burst, counted: now }
    }

    /// Takes `count` tokens and returns how long to wait before using them.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = now;
        self.left = (self.left + passed.as_secs_f64() * self.per_second).min(self.burst) - count as f64;
        Duration::try_from_secs_f64((-self.left / self.per_second).max(0.0)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(50, 200, start);
        assert_eq!(bucket.take(200, start), Duration::ZERO);
        assert_eq!(bucket.take(50, start), Duration::from_secs(1));
        assert_eq!(bucket.take(50, start + Duration::from_secs(1)), Duration::from_secs(1));
        // However long the pause, it saves up one burst.
        assert_eq!(bucket.take(256, start + Duration::from_secs(3600)), Duration::from_millis(1120));
    }
}
