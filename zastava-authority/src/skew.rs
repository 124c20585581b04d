//! How far our clock is from a server's, by the `Date` of its answers.
//!
//! A proof says when it was made, and a server refuses those that are too old or of the future. A
//! wrong clock is the usual reason; the server tells the right time with every answer, unless it is
//! the server's own `Date` that is wrong. So what is learned is a guess, and given up when a proof
//! that was made by it is refused.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, header};
use zastava_core::clock::Timestamp;

/// One answer may have waited somewhere; the median of a few has not.
const SAMPLES: usize = 5;
/// `Date` has whole seconds, and servers are not exact either.
const TOLERATED_MS: i64 = 2_000;
/// No server may move our proofs further than this.
const OFFSET_MS_MAX: i64 = 300_000;
/// Nor at all when it is so far off: moved by five minutes a proof would still be of another time.
const BELIEVED_MS_MAX: i64 = 2 * OFFSET_MS_MAX;
/// An answer that took longer tells nothing about the clock.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Skew(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    newest: VecDeque<i64>,
    /// In seconds.
    measured: i64,
    /// The server refused proofs that were corrected.
    disbelieved: bool,
}

impl Samples {
    fn applied(&self) -> i64 {
        if self.disbelieved { 0 } else { self.measured }
    }
}

impl Skew {
    /// The time that the server has, as far as we know.
    pub(crate) fn correct(&self, now: Timestamp) -> Timestamp {
        let offset = self.seconds();
        Timestamp::from_unix_seconds(now.unix_seconds().saturating_add(offset))
    }

    /// What is added to our clock: zero while the two agree.
    pub(crate) fn seconds(&self) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).applied()
    }

    /// Whether another attempt is worth it after the server refused the time of a proof that was
    /// corrected by `seconds`. The very answer may have taught another correction. Else the `Date`
    /// is what may be wrong, and proofs follow our clock until they are refused as well.
    pub(crate) fn reconsider(&self, seconds: i64) -> bool {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.applied() != seconds {
            return true;
        }
        if samples.measured == 0 {
            return false;
        }
        samples.disbelieved = !samples.disbelieved;
        tracing::warn!(
            offset_seconds = samples.applied(),
            "the server refuses the time of proofs; they follow the other clock"
        );
        true
    }

    /// Takes the `Date` of an answer to a request that was sent and answered at these times. One
    /// that comes out of a cache has an `Age`, and an old date (RFC 9111 section 5.1).
    pub(crate) fn learn(&self, headers: &HeaderMap, sent_at: Timestamp, received_at: Timestamp) {
        if headers.contains_key(header::AGE) {
            return;
        }
        let Some(date) = headers.get(header::DATE).and_then(|value| value.to_str().ok()) else { return };
        let Some(date) = Timestamp::parse_http_date(date) else { return };
        let exchange = received_at.saturating_since(sent_at);
        if received_at < sent_at || exchange > EXCHANGE_MAX {
            return;
        }
        // The server's clock was read half-way, and up to a second after the time that it wrote.
        let middle = sent_at.saturating_add(exchange / 2);
        let date = date.saturating_add(Duration::from_millis(500));
        let ahead = i64::try_from(date.saturating_since(middle).as_millis()).unwrap_or(i64::MAX);
        let behind = i64::try_from(middle.saturating_since(date).as_millis()).unwrap_or(i64::MAX);
        self.add(ahead - behind);
    }

    fn add(&self, offset_ms: i64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.newest.push_back(offset_ms);
        if samples.newest.len() > SAMPLES {
            samples.newest.pop_front();
        }
        let mut sorted: Vec<_> = samples.newest.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        let is_plausible = (TOLERATED_MS + 1..=BELIEVED_MS_MAX).contains(&median.abs());
        let offset = if is_plausible { median.clamp(-OFFSET_MS_MAX, OFFSET_MS_MAX) } else { 0 };
        let seconds = offset / 1000;
        // A second more or less is rounding, and no news.
        if seconds.abs_diff(samples.measured) > 1 || (seconds == 0) != (samples.measured == 0) {
            (samples.measured, samples.disbelieved) = (seconds, false);
            tracing::warn!(
                offset_seconds = seconds,
                "our clock and the server's differ; proofs follow the server's"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 784_111_777;

    fn learn(skew: &Skew, sent_at: i64, received_at: i64) {
        // That is second 784,111,777.
        let headers =
            HeaderMap::from_iter([(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap())]);
        let at = Timestamp::from_unix_seconds;
        skew.learn(&headers, at(sent_at), at(received_at));
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_corrected_and_a_good_one_is_left_alone() {
        let rows = [
            (0, 0),
            (2, 0),
            (-1, 0),
            (240, -239),
            (-240, 240),
            (590, -300),
            (-590, 300),
            (3600, 0),
            (-3600, 0),
        ];
        for (off, expected) in rows {
            let skew = Skew::default();
            learn(&skew, NOW + off, NOW + off);
            assert_eq!(skew.seconds(), expected, "{off}");
            let now = Timestamp::from_unix_seconds(NOW + off);
            assert_eq!(skew.correct(now).unix_seconds(), NOW + off + expected);
        }
    }

    #[test]
    fn one_odd_answer_among_others_does_not_count() {
        let skew = Skew::default();
        (0..3).for_each(|_| learn(&skew, NOW, NOW));
        learn(&skew, NOW - 500, NOW - 500);
        learn(&skew, NOW - 500, NOW - 500);
        assert_eq!(skew.seconds(), 0);
        learn(&skew, NOW - 500, NOW - 500);
        assert_eq!(skew.seconds(), 300);
        (0..3).for_each(|_| learn(&skew, NOW, NOW));
        assert_eq!(skew.seconds(), 0);
    }

    #[test]
    fn a_date_whose_proofs_are_refused_is_given_up() {
        let skew = Skew::default();
        assert!(!skew.reconsider(0), "there is no other clock");
        learn(&skew, NOW - 240, NOW - 240);
        assert!(skew.reconsider(0), "the answer taught another time");
        assert_eq!(skew.seconds(), 240);
        assert!(skew.reconsider(240));
        learn(&skew, NOW - 240, NOW - 240);
        assert_eq!(skew.seconds(), 0);
        assert!(skew.reconsider(240), "somebody else found out meanwhile");
        assert!(skew.reconsider(0), "our own clock is refused too");
        assert_eq!(skew.seconds(), 240);
    }

    #[test]
    fn what_tells_no_time_is_ignored() {
        let skew = Skew::default();
        learn(&skew, NOW - 500, NOW - 489);
        learn(&skew, NOW - 500, NOW - 501);
        let mut cached =
            HeaderMap::from_iter([(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap())]);
        cached.insert(header::AGE, "500".parse().unwrap());
        skew.learn(&cached, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let headers = HeaderMap::from_iter([(header::DATE, "yesterday".parse().unwrap())]);
        skew.learn(&headers, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        assert_eq!(skew.seconds(), 0);
    }
}
