//! How long to wait after a failure.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Doubling waits with full jitter: each is drawn evenly between zero and a bound that doubles. A fleet
/// that lost the same server does not come back in step.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, failures: 0 }
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        // The keys of each `RandomState` are random enough to spread waits.
        self.next_with(RandomState::new().build_hasher().finish())
    }

    /// The same, with the given random number.
    fn next_with(&mut self, random: u64) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let bound = self.initial.saturating_mul(factor).min(self.max);
        bound.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// The next wait is the shortest again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut longest = || backoff.next_with(u64::MAX).as_secs_f64().round();
        assert_eq!(
            [longest(), longest(), longest(), longest(), longest(), longest()],
            [1., 2., 4., 8., 16., 30.]
        );
        assert_eq!(backoff.next_with(0), Duration::ZERO);
        (0..100).for_each(|_| assert!(backoff.next() <= Duration::from_secs(30)));
        backoff.reset();
        assert!(backoff.next_with(u64::MAX) <= Duration::from_secs(1));
    }
}
