//! The rules of a DPoP conversation: what each attempt of a request is sent with, and what its
//! answer asks for (RFC 9449 sections 8 and 9).
//!
//! Token requests and requests to a resource server follow the same rules. Nothing here sends or
//! waits, and time is an argument.

mod clock_offset;
mod nonce;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use zastava_core::clock::Timestamp;

use self::clock_offset::ClockOffset;
use self::nonce::NewestNonce;

/// A nonce challenge is answered this often for one request, and only with a nonce that the
/// refused attempt was not sent with.
const NONCE_RETRIES_MAX: u8 = 2;

/// What the answers of one server taught: its newest nonce and the offset of its clock.
///
/// All requests to the server share it.
#[derive(Debug, Default)]
pub(crate) struct Learned(Mutex<Lessons>);

#[derive(Debug, Default)]
struct Lessons {
    nonce: NewestNonce,
    clock: ClockOffset,
}

impl Learned {
    /// Learns the server's time from an answer that belongs to no conversation.
    #[cfg(feature = "client")]
    pub(crate) fn learn_clock(&self, headers: &HeaderMap, sent_at: Timestamp, received_at: Timestamp) {
        self.lessons().clock.learn(headers, sent_at, received_at);
    }

    fn lessons(&self) -> MutexGuard<'_, Lessons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one attempt is sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The nonce of its proof.
    pub(crate) nonce: Option<Arc<str>>,
    origin: Arc<str>,
    /// Attempts of all requests to a server are counted, to know which was sent last.
    number: u64,
    sent_at: Timestamp,
    offset_seconds: i64,
}

impl Attempt {
    /// The time for its proof and its client assertion: ours, corrected by the server's clock.
    pub(crate) fn issued_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.sent_at.unix_seconds().saturating_add(self.offset_seconds))
    }
}

/// What an answer says about its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The proof was good, and so was all else.
    Accepted,
    /// `use_dpop_nonce`: the proof needs a newer nonce (RFC 9449 section 8).
    NonceRequired,
    /// `invalid_token`: the server wants another token (RFC 6750 section 3.1).
    TokenRefused,
    /// The proof or the assertion is refused, perhaps for its time. Servers disagree on the code.
    ProofRefused,
    /// Anything else.
    Other,
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The answer is final.
    Done,
    /// Another attempt, with the nonce that was learned.
    RetryWithNonce,
    /// Another attempt, with a new token.
    RetryWithToken,
    /// Another attempt, with a proof that is dated by the other clock.
    RetryWithClock,
}

/// One request: which retries were made, and which are left.
#[derive(Debug)]
pub(crate) struct Conversation {
    learned: Arc<Learned>,
    nonce_retries: u8,
    token_retried: bool,
    /// The clock offset that is tried after the usual one was refused.
    other_offset: Option<i64>,
}

impl Conversation {
    pub(crate) fn new(learned: &Arc<Learned>) -> Self {
        Self { learned: Arc::clone(learned), nonce_retries: 0, token_retried: false, other_offset: None }
    }

    /// Whether a further nonce challenge would be final.
    pub(crate) fn is_last_nonce(&self) -> bool {
        self.nonce_retries >= NONCE_RETRIES_MAX
    }

    /// The next attempt, to this origin.
    pub(crate) fn attempt(&self, origin: &Arc<str>, now: Timestamp) -> Attempt {
        let mut lessons = self.learned.lessons();
        let (number, nonce) = lessons.nonce.next(origin);
        let offset_seconds = self.other_offset.unwrap_or_else(|| lessons.clock.seconds());
        Attempt { nonce, origin: Arc::clone(origin), number, sent_at: now, offset_seconds }
    }

    /// Learns from the answer to an attempt, whatever its status, and says what to do next.
    pub(crate) fn observe(
        &mut self,
        attempt: &Attempt,
        reply: Reply,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Step {
        let mut lessons = self.learned.lessons();
        let has_new_nonce = lessons.nonce.learn(headers, attempt, now);
        lessons.clock.learn(headers, attempt.sent_at, now);
        match reply {
            Reply::NonceRequired => {
                self.nonce_retries = self.nonce_retries.saturating_add(1);
                if has_new_nonce && self.nonce_retries <= NONCE_RETRIES_MAX {
                    return Step::RetryWithNonce;
                }
            }
            Reply::TokenRefused if !self.token_retried => {
                self.token_retried = true;
                return Step::RetryWithToken;
            }
            // Some servers call a proof with a wrong time an invalid token.
            Reply::ProofRefused | Reply::TokenRefused if self.other_offset.is_none() => {
                self.other_offset = lessons.clock.alternative(attempt.offset_seconds);
                if self.other_offset.is_some() {
                    return Step::RetryWithClock;
                }
            }
            Reply::Accepted => {
                self.other_offset.inspect(|seconds| lessons.clock.adopt(*seconds));
            }
            Reply::TokenRefused | Reply::ProofRefused | Reply::Other => {}
        }
        Step::Done
    }
}

#[cfg(test)]
mod tests;
