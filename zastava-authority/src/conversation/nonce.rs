//! The newest nonce of a server.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use zastava_core::clock::Timestamp;

use super::Attempt;

/// Our own nonces have 32 characters. A longer value than this is not a nonce.
const NONCE_BYTES_MAX: usize = 1024;
/// Answers that come closer together than this may have overtaken each other.
const OVERTAKING_MAX: Duration = Duration::from_secs(1);

/// Remembers the newest nonce of one origin.
///
/// Nonces of different servers never mix (RFC 9449 section 8.2), so another origin starts without
/// one. `docs/design/authority.md` explains which nonce is the newest when many answers come at
/// once, and why there is no table by origin.
#[derive(Debug, Default)]
pub(super) struct NewestNonce {
    newest: Option<Newest>,
    attempts: u64,
}

#[derive(Debug)]
struct Newest {
    origin: Arc<str>,
    nonce: Arc<str>,
    /// The attempt whose answer brought it.
    attempt: u64,
    learned_at: Timestamp,
}

impl NewestNonce {
    /// The number of the next attempt, and its nonce.
    pub(super) fn next(&mut self, origin: &str) -> (u64, Option<Arc<str>>) {
        self.attempts += 1;
        (self.attempts, self.of(origin).map(|newest| Arc::clone(&newest.nonce)))
    }

    /// Takes the nonce of the answer to an attempt, whatever its status: a success may bring one
    /// too. Returns whether a nonce is known that the attempt was not sent with.
    pub(super) fn learn(&mut self, headers: &HeaderMap, attempt: &Attempt, now: Timestamp) -> bool {
        let given = headers.get("dpop-nonce").and_then(|value| value.to_str().ok());
        if let Some(nonce) = given.filter(|text| is_nonce(text) && self.is_newer(attempt, now)) {
            let known = self.of(&attempt.origin).filter(|newest| *newest.nonce == *nonce);
            let nonce = known.map_or_else(|| nonce.into(), |newest| Arc::clone(&newest.nonce));
            let (origin, attempt) = (Arc::clone(&attempt.origin), attempt.number);
            self.newest = Some(Newest { origin, nonce, attempt, learned_at: now });
        }
        self.of(&attempt.origin).is_some_and(|newest| attempt.nonce.as_ref() != Some(&newest.nonce))
    }

    fn of(&self, origin: &str) -> Option<&Newest> {
        self.newest.as_ref().filter(|newest| *newest.origin == *origin)
    }

    /// Whether the answer to this attempt is newer than the one that brought the known nonce.
    fn is_newer(&self, attempt: &Attempt, now: Timestamp) -> bool {
        self.of(&attempt.origin).is_none_or(|known| {
            known.attempt < attempt.number
                || attempt.nonce.as_ref() == Some(&known.nonce)
                || now.saturating_since(known.learned_at) > OVERTAKING_MAX
        })
    }
}

/// `1*NQCHAR` (RFC 9449 section 8.1).
fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn attempt(nonces: &mut NewestNonce, origin: &str) -> Attempt {
        let (number, nonce) = nonces.next(origin);
        let sent_at = Timestamp::UNIX_EPOCH;
        Attempt { nonce, origin: origin.into(), number, sent_at, offset_seconds: 0 }
    }

    fn answer(nonces: &mut NewestNonce, value: &str, attempt: &Attempt, second: i64) -> bool {
        let value = HeaderValue::from_str(value).unwrap();
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), value)]);
        nonces.learn(&headers, attempt, Timestamp::from_unix_seconds(second))
    }

    #[test]
    fn only_the_newest_well_formed_nonce_of_the_origin_counts() {
        let mut nonces = NewestNonce::default();
        let mut learn = |origin: &str, value: &str| {
            let attempt = attempt(&mut nonces, origin);
            let is_new = answer(&mut nonces, value, &attempt, 0);
            let known = |origin: &str| nonces.of(origin).map(|newest| newest.nonce.to_string());
            (is_new, known("https://a"), known("https://b"))
        };
        let (one, two) = (Some("one".to_owned()), Some("two".to_owned()));
        assert_eq!(learn("https://a", "one"), (true, one.clone(), None));
        for malformed in ["", "a b", "a\"b", "a\\b", &"x".repeat(1025)] {
            assert_eq!(learn("https://a", malformed), (false, one.clone(), None));
        }
        assert_eq!(learn("https://a", "one"), (false, one, None), "the attempt was sent with it");
        assert_eq!(learn("https://b", "two"), (true, None, two));
    }

    #[test]
    fn an_answer_that_was_overtaken_brings_no_older_nonce_back() {
        let mut nonces = NewestNonce::default();
        let (first, second) = (attempt(&mut nonces, "https://a"), attempt(&mut nonces, "https://a"));
        assert!(answer(&mut nonces, "newer", &second, 0));
        assert!(answer(&mut nonces, "older", &first, 0), "there is a new one for it");
        let third = attempt(&mut nonces, "https://a");
        assert_eq!(third.nonce.as_deref(), Some("newer"));
        // An attempt that was sent with the newest nonce learns what comes after it.
        let fourth = attempt(&mut nonces, "https://a");
        assert!(!answer(&mut nonces, "newer", &fourth, 0));
        assert!(answer(&mut nonces, "newest", &third, 0));
        assert_eq!(nonces.of("https://a").unwrap().nonce.as_ref(), "newest");
        // More than a second apart the later answer counts, whichever attempt it belongs to.
        answer(&mut nonces, "late", &first, 2);
        assert_eq!(nonces.of("https://a").unwrap().nonce.as_ref(), "late");
    }
}
