//! The newest nonce of a server.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

/// Ours have 32 characters; longer ones than this are no nonces.
const NONCE_BYTES_MAX: usize = 1024;

/// Remembers the newest nonce of one origin, in memory only. Nonces of different servers never mix
/// (RFC 9449 section 8.2), so another origin starts without one.
#[derive(Debug, Default)]
pub(crate) struct NewestNonce(Mutex<Option<(String, Arc<str>)>>);

impl NewestNonce {
    pub(crate) fn of(&self, origin: &str) -> Option<Arc<str>> {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|(of, _)| of == origin).map(|(_, nonce)| Arc::clone(nonce))
    }

    /// Takes the nonce of a response, whatever its status: a success may bring one too.
    pub(crate) fn learn(&self, origin: &str, headers: &HeaderMap) {
        let Some(nonce) = headers.get("dpop-nonce").and_then(|value| value.to_str().ok()) else { return };
        if !is_nonce(nonce) {
            return;
        }
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|(of, known)| of != origin || **known != *nonce) {
            *newest = Some((origin.to_owned(), nonce.into()));
        }
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

    #[test]
    fn only_the_newest_well_formed_nonce_of_the_origin_counts() {
        let nonce = NewestNonce::default();
        let learn = |origin: &str, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            nonce
                .learn(origin, &HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), value)]));
        };
        learn("https://a", "one");
        for malformed in ["", "a b", "a\"b", "a\\b", &"x".repeat(1025)] {
            learn("https://a", malformed);
        }
        assert_eq!(nonce.of("https://a").as_deref(), Some("one"));
        assert_eq!(nonce.of("https://b"), None);
        learn("https://b", "two");
        assert_eq!((nonce.of("https://a"), nonce.of("https://b").as_deref()), (None, Some("two")));
    }
}
