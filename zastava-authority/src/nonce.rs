//! The newest nonce of a server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;

/// Ours have 32 characters; longer ones than this are no nonces.
const NONCE_BYTES_MAX: usize = 1024;
/// Answers that come closer together than this may have overtaken each other.
const OVERTAKING_MAX: Duration = Duration::from_secs(1);

/// Remembers the newest nonce of one origin, in memory only. Nonces of different servers never mix
/// (RFC 9449 section 8.2), so another origin starts without one.
///
/// Of many answers at the same time the newest is the one to the request that was sent last: they
/// are read in any order, but a server works off its requests more or less one after the other.
#[derive(Debug, Default)]
pub(crate) struct NewestNonce(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    newest: Option<Newest>,
    requests: u64,
}

#[derive(Debug)]
struct Newest {
    origin: String,
    nonce: Arc<str>,
    request: u64,
    learned_at: Instant,
}

/// What a request was sent with.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) nonce: Option<Arc<str>>,
    request: u64,
}

impl NewestNonce {
    /// For the next request.
    pub(crate) fn next(&self, origin: &str) -> Sent {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        let newest = state.newest.as_ref().filter(|newest| newest.origin == origin);
        Sent { nonce: newest.map(|newest| Arc::clone(&newest.nonce)), request: state.requests }
    }

    /// Takes the nonce of the answer to that request, whatever its status: a success may bring one
    /// too. Returns whether there is one that the request was not sent with.
    pub(crate) fn learn(&self, origin: &str, headers: &HeaderMap, sent: &Sent) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let given =
            headers.get("dpop-nonce").and_then(|value| value.to_str().ok()).filter(|text| is_nonce(text));
        let newer = given.filter(|_| {
            state.newest.as_ref().is_none_or(|known| {
                known.origin != origin
                    || known.request < sent.request
                    || sent.nonce.as_ref() == Some(&known.nonce)
                    || known.learned_at.elapsed() > OVERTAKING_MAX
            })
        });
        if let Some(nonce) = newer {
            let known = state.newest.take().filter(|known| known.origin == origin && *known.nonce == *nonce);
            let nonce = known.map_or_else(|| nonce.into(), |known| known.nonce);
            let (request, learned_at) = (sent.request, Instant::now());
            state.newest = Some(Newest { origin: origin.to_owned(), nonce, request, learned_at });
        }
        let newest = state.newest.as_ref().filter(|newest| newest.origin == origin);
        newest.is_some_and(|newest| sent.nonce.as_ref() != Some(&newest.nonce))
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

    fn answer(nonce: &NewestNonce, origin: &str, value: &str, sent: &Sent) -> bool {
        let value = HeaderValue::from_str(value).unwrap();
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), value)]);
        nonce.learn(origin, &headers, sent)
    }

    #[test]
    fn only_the_newest_well_formed_nonce_of_the_origin_counts() {
        let nonce = NewestNonce::default();
        let known = |origin: &str| nonce.next(origin).nonce.map(|nonce| nonce.to_string());
        let learn = |origin: &str, value: &str| answer(&nonce, origin, value, &nonce.next(origin));
        assert!(learn("https://a", "one"));
        for malformed in ["", "a b", "a\"b", "a\\b", &"x".repeat(1025)] {
            assert!(!learn("https://a", malformed));
        }
        assert!(!learn("https://a", "one"), "it was sent with that one");
        assert_eq!((known("https://a").as_deref(), known("https://b")), (Some("one"), None));
        assert!(learn("https://b", "two"));
        assert_eq!((known("https://a"), known("https://b").as_deref()), (None, Some("two")));
    }

    #[test]
    fn an_answer_that_was_overtaken_brings_no_older_nonce_back() {
        let nonce = NewestNonce::default();
        let (first, second) = (nonce.next("https://a"), nonce.next("https://a"));
        assert!(answer(&nonce, "https://a", "newer", &second));
        assert!(answer(&nonce, "https://a", "older", &first), "there is a new one for it");
        let third = nonce.next("https://a");
        assert_eq!(third.nonce.as_deref(), Some("newer"));
        // Whoever was sent with the newest learns what comes after it.
        let fourth = nonce.next("https://a");
        assert!(!answer(&nonce, "https://a", "newer", &fourth));
        assert!(answer(&nonce, "https://a", "newest", &third));
        assert_eq!(nonce.next("https://a").nonce.as_deref(), Some("newest"));
    }
}
