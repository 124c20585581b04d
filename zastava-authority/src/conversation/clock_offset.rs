//! How far a server's clock is ahead of ours, by the `Date` of its answers.
//!
//! A proof carries the time when it was made, and a server refuses a proof that is too old or from
//! the future. Usually our clock is wrong, and every answer carries the server's time. But the
//! `Date` itself can be wrong, stamped by a gateway. So the measured offset is a guess. It is given
//! up when the server refuses a proof that was dated by it and accepts one that was dated by our
//! own clock.

use std::collections::VecDeque;
use std::time::Duration;

use http::{HeaderMap, header};
use zastava_core::clock::Timestamp;

/// One answer may have been delayed somewhere. The median of a few was not.
const SAMPLES: usize = 5;
/// `Date` has whole seconds, and servers are not exact either.
const TOLERATED_MS: i64 = 2_000;
/// No server can move the time of our proofs further than this.
const OFFSET_MS_MAX: i64 = 300_000;
/// A larger offset than this is ignored: a proof moved by five minutes would still be refused.
const BELIEVED_MS_MAX: i64 = 2 * OFFSET_MS_MAX;
/// An answer that took longer is no measure of the clock.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);

/// The offset of a server's clock.
#[derive(Debug, Default)]
pub(super) struct ClockOffset {
    /// In milliseconds, the newest last.
    samples: VecDeque<i64>,
    measured_seconds: i64,
    /// The server refused proofs that were dated by the measured offset, and took one that was not.
    disbelieved: bool,
}

impl ClockOffset {
    /// What is added to our clock. Zero while the two agree.
    pub(super) fn seconds(&self) -> i64 {
        if self.disbelieved { 0 } else { self.measured_seconds }
    }

    /// Another offset that is worth an attempt, after the server refused a proof with this one.
    ///
    /// The offset may have changed since that proof was made. If it did not, either the `Date` is
    /// wrong and our own clock is right, or the other way round.
    pub(super) fn alternative(&self, seconds: i64) -> Option<i64> {
        if self.seconds() != seconds {
            return Some(self.seconds());
        }
        let other = if self.disbelieved { self.measured_seconds } else { 0 };
        (other != seconds).then_some(other)
    }

    /// The server took a proof with this offset, which was an alternative.
    pub(super) fn adopt(&mut self, seconds: i64) {
        let disbelieved = seconds != self.measured_seconds;
        if self.disbelieved != disbelieved {
            self.disbelieved = disbelieved;
            let offset_seconds = self.seconds();
            tracing::warn!(
                offset_seconds,
                "the server accepts proofs dated by the other clock; proofs follow that clock now"
            );
        }
    }

    /// Takes the `Date` of an answer to a request that was sent and answered at these times.
    pub(super) fn learn(&mut self, headers: &HeaderMap, sent_at: Timestamp, received_at: Timestamp) {
        if headers.contains_key(header::AGE) {
            // The answer comes from a cache, and its date is old (RFC 9111 section 5.1).
            return;
        }
        let Some(date) = headers.get(header::DATE).and_then(|value| value.to_str().ok()) else { return };
        let Some(date) = Timestamp::parse_http_date(date) else { return };
        let exchange = received_at.saturating_since(sent_at);
        if received_at < sent_at || exchange > EXCHANGE_MAX {
            return;
        }
        // The server read its clock half-way, and up to a second after the time that it wrote.
        let middle = sent_at.saturating_add(exchange / 2);
        let date = date.saturating_add(Duration::from_millis(500));
        let ahead = i64::try_from(date.saturating_since(middle).as_millis()).unwrap_or(i64::MAX);
        let behind = i64::try_from(middle.saturating_since(date).as_millis()).unwrap_or(i64::MAX);
        self.add(ahead - behind);
    }

    fn add(&mut self, sample_ms: i64) {
        self.samples.push_back(sample_ms);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let mut sorted = [0; SAMPLES];
        let sorted = &mut sorted[..self.samples.len()];
        sorted.iter_mut().zip(&self.samples).for_each(|(sorted, sample)| *sorted = *sample);
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        let is_plausible = (TOLERATED_MS + 1..=BELIEVED_MS_MAX).contains(&median.abs());
        let offset_ms = if is_plausible { median.clamp(-OFFSET_MS_MAX, OFFSET_MS_MAX) } else { 0 };
        let seconds = offset_ms / 1000;
        // A second more or less is rounding.
        let measured = self.measured_seconds;
        if seconds.abs_diff(measured) > 1 || (seconds == 0) != (measured == 0) {
            (self.measured_seconds, self.disbelieved) = (seconds, false);
            match seconds {
                0 => tracing::info!("our clock and the server's agree again"),
                offset_seconds => tracing::warn!(
                    offset_seconds,
                    "our clock and the server's differ; proofs follow the server's clock"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 784_111_777;

    fn learn(offset: &mut ClockOffset, sent_at: i64, received_at: i64) {
        // That is second 784,111,777.
        let headers =
            HeaderMap::from_iter([(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap())]);
        let at = Timestamp::from_unix_seconds;
        offset.learn(&headers, at(sent_at), at(received_at));
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
            let mut offset = ClockOffset::default();
            learn(&mut offset, NOW + off, NOW + off);
            assert_eq!(offset.seconds(), expected, "{off}");
        }
    }

    #[test]
    fn one_odd_answer_among_others_does_not_count() {
        let mut offset = ClockOffset::default();
        (0..3).for_each(|_| learn(&mut offset, NOW, NOW));
        learn(&mut offset, NOW - 500, NOW - 500);
        learn(&mut offset, NOW - 500, NOW - 500);
        assert_eq!(offset.seconds(), 0);
        learn(&mut offset, NOW - 500, NOW - 500);
        assert_eq!(offset.seconds(), 300);
        (0..3).for_each(|_| learn(&mut offset, NOW, NOW));
        assert_eq!(offset.seconds(), 0);
    }

    #[test]
    fn a_date_whose_proofs_are_refused_is_given_up_when_others_are_taken() {
        let mut offset = ClockOffset::default();
        assert_eq!(offset.alternative(0), None, "there is no other clock");
        learn(&mut offset, NOW - 240, NOW - 240);
        assert_eq!(offset.alternative(0), Some(240), "the answer taught another time");
        assert_eq!(offset.alternative(240), Some(0));
        assert_eq!(offset.seconds(), 240, "a refusal alone unlearns nothing");
        offset.adopt(0);
        learn(&mut offset, NOW - 240, NOW - 240);
        assert_eq!(offset.seconds(), 0);
        assert_eq!(offset.alternative(240), Some(0), "somebody else found out meanwhile");
        assert_eq!(offset.alternative(0), Some(240), "our own clock is refused too");
        offset.adopt(240);
        assert_eq!(offset.seconds(), 240);
        offset.adopt(0);
        learn(&mut offset, NOW - 100, NOW - 100);
        (0..2).for_each(|_| learn(&mut offset, NOW - 100, NOW - 100));
        assert_eq!(offset.seconds(), 100, "a new measurement is believed again");
    }

    #[test]
    fn answers_without_a_usable_date_are_ignored() {
        let mut offset = ClockOffset::default();
        learn(&mut offset, NOW - 500, NOW - 489);
        learn(&mut offset, NOW - 500, NOW - 501);
        let mut cached =
            HeaderMap::from_iter([(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap())]);
        cached.insert(header::AGE, "500".parse().unwrap());
        offset.learn(&cached, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let headers = HeaderMap::from_iter([(header::DATE, "yesterday".parse().unwrap())]);
        offset.learn(&headers, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        assert_eq!(offset.seconds(), 0);
    }
}
