//! Attaches tokens and proofs to requests, and reads from the answers what to do next.

mod challenge;
mod gate;
mod layer;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, Uri, header, request};
use zastava_core::clock::{Clock, SystemClock, Timestamp};

use self::challenge::Challenge;
use self::gate::{Gate, Pass};
pub use self::layer::{Authorize, AuthorizeLayer};
use crate::dpop::Claims;
use crate::encoding::header_value;
use crate::error::Error;
use crate::nonce::{NewestNonce, Sent};
use crate::skew::{self, Skew};
use crate::target_uri;
use crate::token::{OpTok, Tokens};

const DPOP: HeaderName = HeaderName::from_static("dpop");
/// A challenge is answered this often for one request, and only with a nonce that it was not sent
/// with.
const NONCE_RETRIES_MAX: u8 = 2;

/// Attaches a token and a fresh proof to requests for one origin.
///
/// [`AuthorizeLayer`] does it for any tower service. Without tower, and for bodies that cannot be
/// sent twice:
///
/// ```
/// # use http::{Request, StatusCode, HeaderMap, Uri};
/// # use zastava_authority::{Authorizer, Error, Tokens, Verdict};
/// # async fn send(tokens: Tokens) -> Result<(), Error> {
/// let api = Authorizer::new(tokens, "scanner", &Uri::from_static("https://api.example"));
/// let (mut parts, body) = Request::get("https://api.example/greeting").body(()).unwrap().into_parts();
/// let mut exchange = api.begin();
/// loop {
///     exchange.attach(&mut parts).await?;
///     let (status, headers) = (StatusCode::OK, HeaderMap::new()); // … send, and see what comes back
///     if exchange.observe(status, &headers) == Verdict::Done {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// It keeps the newest nonce of the origin, and the distance of its clock from ours. It answers a
/// nonce challenge up to two times, an `invalid_token` once, with a new token, and an
/// `invalid_dpop_proof` once, by the other clock, if ours and the server's differ. Every other answer
/// is the caller's. Requests for another origin are refused before a token is touched. A token that
/// is not bound to a key goes out as `Bearer`, without a proof.
///
/// While nothing is known about the origin, the first request goes alone: it brings the nonce that
/// all others would be sent back for. A request that was sent back twice goes alone as well, so
/// that its nonce is fresh however busy the server is. With the feature `client`, in a tokio runtime,
/// others wait for these a few seconds at most; else until they are answered or dropped.
///
/// Clones share everything. A tokio runtime around it must have its timers enabled.
#[derive(Clone)]
pub struct Authorizer(Arc<Terms>);

struct Terms {
    tokens: Tokens,
    audience: String,
    origin: String,
    nonce: NewestNonce,
    skew: Skew,
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl Authorizer {
    /// Tokens for `audience`, which is what answers at `origin` (scheme, host and port; the path
    /// does not count).
    #[must_use]
    pub fn new(tokens: Tokens, audience: &str, origin: &Uri) -> Self {
        Self::with_clock(tokens, audience, origin, Arc::new(SystemClock))
    }

    /// As [`Authorizer::new`], with another clock.
    #[must_use]
    pub fn with_clock(tokens: Tokens, audience: &str, origin: &Uri, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Terms {
            tokens,
            audience: audience.to_owned(),
            // An origin that is none matches no request.
            origin: target_uri::origin(origin).unwrap_or_else(|| origin.to_string()),
            nonce: NewestNonce::default(),
            skew: Skew::default(),
            gate: Gate::default(),
            clock,
        }))
    }

    /// Begins one request, with as many attempts as it takes.
    #[must_use]
    pub fn begin(&self) -> Exchange {
        Exchange {
            terms: Arc::clone(&self.0),
            attempt: None,
            pass: None,
            nonce_retries: 0,
            token_retried: false,
            other_clock: None,
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("audience", &self.0.audience)
            .field("origin", &self.0.origin)
            .finish_non_exhaustive()
    }
}

/// One request: its attempts, and what they were sent with.
#[derive(Debug)]
pub struct Exchange {
    terms: Arc<Terms>,
    attempt: Option<Attempt>,
    pass: Option<Pass>,
    nonce_retries: u8,
    token_retried: bool,
    /// The correction that is tried after the usual one was refused.
    other_clock: Option<i64>,
}

#[derive(Debug)]
struct Attempt {
    token: Arc<OpTok>,
    nonce: Sent,
    skew_seconds: i64,
    sent_at: Timestamp,
    /// The server refused the token: the next attempt needs another.
    refused: bool,
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two ways on")]
pub enum Verdict {
    /// The answer is the caller's.
    Done,
    /// Attach again and send again, if the body can be sent again. Else the answer is the caller's;
    /// the next request will be right.
    SendAgain,
}

impl Exchange {
    /// Sets `Authorization` and, for a token that is bound to a key, `DPoP`: before each attempt,
    /// also before one that the caller makes for reasons of its own (RFC 9449 section 7.3).
    ///
    /// # Errors
    /// [`Error::ForeignOrigin`]; why there is no token; [`Error::Rejected`] when the server refused
    /// the token and there is no other; [`Error::Sign`]. The request must not be sent then.
    pub async fn attach(&mut self, parts: &mut request::Parts) -> Result<(), Error> {
        let terms = &*self.terms;
        terms.check_origin(&parts.uri)?;
        let mut token = terms.tokens.token(&terms.audience).await?;
        let refused = self.attempt.as_ref().filter(|last| last.refused);
        if refused.is_some_and(|last| last.token.generation() == token.generation()) {
            return Err(Error::Rejected);
        }
        self.pass = None;
        if token.is_dpop() {
            let pass = Gate::enter(&self.terms, self.nonce_retries >= NONCE_RETRIES_MAX).await;
            if pass.waited {
                // It may have ended meanwhile.
                token = terms.tokens.token(&terms.audience).await?;
            }
            self.pass = Some(pass);
        }
        let now = terms.clock.now();
        let skew_seconds = self.other_clock.unwrap_or_else(|| terms.skew.seconds());
        let nonce = terms.nonce.next(&terms.origin);
        if let Some(binding) = token.binding() {
            let proof = binding.key.sign_claims(&Claims {
                method: &parts.method,
                uri: &parts.uri,
                issued_at: skew::corrected(now, skew_seconds).unix_seconds(),
                access_token_hash: Some(&binding.access_token_hash),
                nonce: nonce.nonce.as_deref(),
            })?;
            parts.headers.insert(DPOP, header_value(Bytes::from(proof))?);
        } else {
            parts.headers.remove(DPOP);
        }
        parts.headers.insert(header::AUTHORIZATION, token.authorization());
        #[cfg(feature = "client")]
        if let Some(thumbprint) = &token.certificate {
            // RFC 8705 section 3: over a connection with the certificate that the token is bound to.
            parts.extensions.insert(crate::transport::Certificate(Arc::clone(thumbprint)));
        }
        self.attempt = Some(Attempt { token, nonce, skew_seconds, sent_at: now, refused: false });
        Ok(())
    }

    /// Learns from the answer to the last attempt, whatever its status.
    pub fn observe(&mut self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        let Some(attempt) = &mut self.attempt else { return Verdict::Done };
        let terms = &*self.terms;
        let new_nonce = terms.nonce.learn(&terms.origin, headers, &attempt.nonce);
        terms.skew.learn(headers, attempt.sent_at, terms.clock.now());
        if let Some(pass) = self.pass.take() {
            pass.answered();
        }
        let again = match challenge::read(status, headers) {
            Some(Challenge::Nonce) => {
                self.nonce_retries = self.nonce_retries.saturating_add(1);
                new_nonce && self.nonce_retries <= NONCE_RETRIES_MAX
            }
            Some(Challenge::InvalidToken) => {
                terms.tokens.reject(&attempt.token);
                attempt.refused = true;
                !std::mem::replace(&mut self.token_retried, true)
            }
            Some(Challenge::InvalidProof) => {
                let is_first = self.other_clock.is_none();
                self.other_clock = self.other_clock.or_else(|| terms.skew.alternative(attempt.skew_seconds));
                is_first && self.other_clock.is_some()
            }
            None => {
                let taken = self.other_clock.filter(|_| status.is_success());
                taken.inspect(|seconds| terms.skew.adopt(*seconds));
                false
            }
        };
        if again { Verdict::SendAgain } else { Verdict::Done }
    }
}

impl Terms {
    /// RFC 9700 section 4.9: a token goes to its audience and nowhere else.
    fn check_origin(&self, uri: &Uri) -> Result<(), Error> {
        if target_uri::is_within(uri, &self.origin) {
            return Ok(());
        }
        let found = target_uri::origin(uri).unwrap_or_default();
        Err(Error::ForeignOrigin { expected: self.origin.clone(), found })
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("origin", &self.origin).finish_non_exhaustive()
    }
}
