//! The attempts of one request to a resource server.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header, request};

use super::ResourceServer;
use super::challenge;
use super::in_flight::{InFlight, Permit};
use crate::conversation::{Attempt, Conversation, Reply, Step};
use crate::dpop::Claims;
use crate::encoding::header_value;
use crate::error::Error;
use crate::token::OpTok;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// One request: its attempts, and what they were sent with. Made by
/// [`Authorizer::begin`](super::Authorizer::begin).
#[derive(Debug)]
pub struct Attempts {
    server: Arc<ResourceServer>,
    conversation: Conversation,
    last: Option<Sent>,
    permit: Option<Permit>,
}

/// The last attempt.
#[derive(Debug)]
struct Sent {
    token: Arc<OpTok>,
    attempt: Attempt,
    /// The server refused the token, perhaps with a reason: the next attempt needs another.
    refusal: Option<Option<String>>,
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum NextStep {
    /// The answer is the caller's.
    Done,
    /// Attach again and send again, if the body can be sent again. Otherwise the answer is the
    /// caller's, and the next request will be right.
    SendAgain,
}

/// Why an attempt must not be sent.
pub(super) enum NotSent {
    /// There is no token to send with it.
    NoToken(Error),
    /// It would go to a foreign origin, or could not be signed.
    Refused(Error),
}

impl NotSent {
    fn into_error(self) -> Error {
        match self {
            Self::NoToken(error) | Self::Refused(error) => error,
        }
    }
}

impl Attempts {
    pub(super) fn new(server: &Arc<ResourceServer>) -> Self {
        let conversation = Conversation::new(&server.learned);
        Self { server: Arc::clone(server), conversation, last: None, permit: None }
    }

    /// Sets `Authorization` and, for a token that is bound to a key, `DPoP`.
    ///
    /// Call it before each attempt, also before one that the caller makes for reasons of its own:
    /// each attempt needs a new proof (RFC 9449 section 7.3).
    ///
    /// # Errors
    /// The request must not be sent. [`Error::ForeignOrigin`], [`Error::Sign`], the token source's
    /// own error if there is no token, or [`Error::Rejected`] if the server refused the token and
    /// there is no other.
    pub async fn attach(&mut self, parts: &mut request::Parts) -> Result<(), Error> {
        self.try_attach(parts).await.map_err(NotSent::into_error)
    }

    pub(super) async fn try_attach(&mut self, parts: &mut request::Parts) -> Result<(), NotSent> {
        let server = Arc::clone(&self.server);
        server.check_origin(&parts.uri).map_err(NotSent::Refused)?;
        let mut token = self.token().await?;
        self.permit = None;
        if token.is_dpop() {
            let permit = InFlight::enter(&server, self.conversation.is_last_nonce()).await;
            if permit.has_waited {
                // The token may have ended meanwhile.
                token = self.token().await?;
            }
            self.permit = Some(permit);
        }
        let attempt = self.conversation.attempt(&server.origin, server.clock.now());
        set_headers(parts, &token, &attempt).map_err(NotSent::Refused)?;
        self.last = Some(Sent { token, attempt, refusal: None });
        Ok(())
    }

    /// Learns from the answer to the last attempt, whatever its status.
    pub fn observe(&mut self, status: StatusCode, headers: &HeaderMap) -> NextStep {
        let Some(last) = &mut self.last else { return NextStep::Done };
        let reply = challenge::read(status, headers);
        let step = self.conversation.observe(&last.attempt, reply, headers, self.server.clock.now());
        if let Some(permit) = self.permit.take() {
            permit.answered();
        }
        // A token that is tried again with the other clock is not refused yet.
        if reply == Reply::TokenRefused && step != Step::RetryWithClock {
            let reason = challenge::reason(headers);
            match &reason {
                Some(reason) => self.server.tokens.reject_with_reason(&last.token, reason),
                None => self.server.tokens.reject(&last.token),
            }
            last.refusal = Some(reason);
        }
        match step {
            Step::Done => NextStep::Done,
            Step::RetryWithNonce | Step::RetryWithToken | Step::RetryWithClock => NextStep::SendAgain,
        }
    }

    /// A token that the server did not just refuse.
    async fn token(&self) -> Result<Arc<OpTok>, NotSent> {
        let server = &self.server;
        let token = server.tokens.token(&server.audience).await.map_err(NotSent::NoToken)?;
        let refused = self.last.as_ref().filter(|last| last.token.generation() == token.generation());
        match refused.and_then(|last| last.refusal.clone()) {
            Some(reason) => Err(NotSent::NoToken(Error::Rejected { reason })),
            None => Ok(token),
        }
    }
}

fn set_headers(parts: &mut request::Parts, token: &OpTok, attempt: &Attempt) -> Result<(), Error> {
    if let Some(binding) = token.binding() {
        let proof = binding.key.sign_claims(&Claims {
            method: &parts.method,
            uri: &parts.uri,
            issued_at: attempt.issued_at().unix_seconds(),
            access_token_hash: Some(&binding.access_token_hash),
            nonce: attempt.nonce.as_deref(),
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
    Ok(())
}
