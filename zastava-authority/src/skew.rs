//! How far our clock is from a server's, by the `Date` of its answers.
//!
//! A proof says when it was made, and a server refuses those that are too old or of the future. A
//! wrong clock is the usual reason; the server tells the right time with every answer, unless it is
//! the server's own `Date` that is wrong. So what is learned is a guess, and given up when a proof
//! that was made by it is refused and one by our own clock is taken.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Our time as the server has it.
pub(crate) fn corrected(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(now.unix_seconds().saturating_add(seconds))
}

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
    /// What is added to our clock: zero while the two agree.
    pub(crate) fn seconds(&self) -> i64 {
        self.samples().applied()
    }

    /// Another correction that is worth an attempt, after the server refused the time of a proof with
    /// this one. The very answer may have taught it; else the `Date` is what may be wrong, and our own
    /// clock right, or the other way round.
    pub(crate) fn alternative(&self, seconds: i64) -> Option<i64> {
        let samples = self.samples();
        if samples.applied() != seconds {
            return Some(samples.applied());
        }
        let other = if samples.disbelieved { samples.measured } else { 0 };
        (other != seconds).then_some(other)
    }

    /// The server took a proof with this correction, which was an alternative.
    pub(crate) fn adopt(&self, seconds: i64) {
        let mut samples = self.samples();
        let disbelieved = seconds != samples.measured;
        if samples.disbelieved != disbelieved {
            samples.disbelieved = disbelieved;
            let offset_seconds = samples.applied();
            tracing::warn!(
                offset_seconds,
                "the server takes proofs by the other clock; they follow that one"
            );
        }
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut samples = self.samples();
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
            match seconds {
                0 => tracing::info!("our clock and the server's agree again"),
                offset_seconds => tracing::warn!(
                    offset_seconds,
                    "our clock and the server's differ; proofs follow the server's"
                ),
            }
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
    fn a_date_whose_proofs_are_refused_is_given_up_when_others_are_taken() {
        let skew = Skew::default();
        assert_eq!(skew.alternative(0), None, "there is no other clock");
        learn(&skew, NOW - 240, NOW - 240);
        assert_eq!(skew.alternative(0), Some(240), "the answer taught another time");
        assert_eq!(skew.alternative(240), Some(0));
        assert_eq!(skew.seconds(), 240, "a refusal alone unlearns nothing");
        skew.adopt(0);
        learn(&skew, NOW - 240, NOW - 240);
        assert_eq!(skew.seconds(), 0);
        assert_eq!(skew.alternative(240), Some(0), "somebody else found out meanwhile");
        assert_eq!(skew.alternative(0), Some(240), "our own clock is refused too");
        skew.adopt(240);
        assert_eq!(skew.seconds(), 240);
        skew.adopt(0);
        learn(&skew, NOW - 100, NOW - 100);
        (0..2).for_each(|_| learn(&skew, NOW - 100, NOW - 100));
        assert_eq!(skew.seconds(), 100, "a new measurement is believed again");
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
