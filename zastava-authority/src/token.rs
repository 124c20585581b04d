//! Tokens and their sources.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;
use zeroize::Zeroizing;

use crate::dpop::{AccessTokenHash, DpopKey};
use crate::encoding::{is_token68, sensitive};
use crate::error::Error;

/// An operational token: a short-lived access token for one audience.
///
/// It holds the key that it is bound to, so a key lives as long as its last token. `Debug` does not
/// show the token, and its memory is cleared on drop.
#[derive(Debug)]
pub struct OpTok {
    token: Secret,
    audience: String,
    expires_at: Timestamp,
    generation: u64,
    binding: Option<Binding>,
    /// That of the connection over which it was requested. It must be sent over such a one.
    pub(crate) certificate: Option<Arc<str>>,
    pub(crate) is_certificate_bound: bool,
    pub(crate) is_static: bool,
    authorization: HeaderValue,
}

#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) key: Arc<DpopKey>,
    pub(crate) access_token_hash: AccessTokenHash,
}

impl OpTok {
    /// A token that is bound to `key`, or a bearer token without one. A source numbers its tokens in
    /// `generation`: a later token has a greater number.
    ///
    /// # Errors
    /// [`Error::Unsendable`] if the text is not valid in a header.
    pub fn new(
        token: Secret,
        audience: &str,
        expires_at: Timestamp,
        generation: u64,
        key: Option<Arc<DpopKey>>,
    ) -> Result<Self, Error> {
        if !is_token68(token.expose()) {
            return Err(Error::Unsendable);
        }
        let scheme = if key.is_some() { "DPoP" } else { "Bearer" };
        // Large enough for all: a buffer that grows leaves copies behind.
        let mut authorization =
            Zeroizing::new(String::with_capacity(scheme.len() + 1 + token.expose().len()));
        for part in [scheme, " ", token.expose()] {
            authorization.push_str(part);
        }
        let authorization = sensitive(authorization)?;
        let binding = key.map(|key| Binding { key, access_token_hash: AccessTokenHash::of(token.expose()) });
        Ok(Self {
            token,
            audience: audience.to_owned(),
            expires_at,
            generation,
            binding,
            certificate: None,
            is_certificate_bound: false,
            is_static: false,
            authorization,
        })
    }

    /// Whether it is bound to a key and needs a proof. Otherwise it is a bearer token.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        self.binding.is_some()
    }

    /// The audience that it is for.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// When it expires, counted from the start of its token request.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The thumbprint of the key that it is bound to (RFC 7638, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        self.binding.as_ref().map(|binding| binding.key.thumbprint())
    }

    /// The thumbprint of the client certificate that it is bound to: its own claim `cnf.x5t#S256` (RFC 8705
    /// section 3.1). `None` for an opaque token, whose binding cannot be read.
    #[must_use]
    pub fn certificate_thumbprint(&self) -> Option<&str> {
        self.certificate.as_deref().filter(|_| self.is_certificate_bound)
    }

    /// The thumbprint of the client certificate that it was requested with. It may be bound to that one, so
    /// it is sent over connections with that one only.
    #[must_use]
    pub fn requested_with(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Whether it is of no use without a key or a certificate: it is of the type `DPoP`, or names our
    /// certificate.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.is_dpop() || self.certificate_thumbprint().is_some()
    }

    /// The number of this token at its source. A later token has a greater number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this is the static token, which serves only until Authority first issues a token.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.is_static
    }

    /// The token itself. Put it only into a header that is marked sensitive.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose()
    }

    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// The value of `Authorization`, which is made once.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }
}

/// What [`TokenSource::token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<OpTok>, Error>> + Send + 'a>>;

/// A source of tokens.
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A valid token for the audience.
    ///
    /// # Errors
    /// Why there is no token. [`Error::retry_after`] says when to ask again.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a>;

    /// A valid token that can be had without waiting.
    fn at_hand(&self, audience: &str) -> Option<Arc<OpTok>> {
        let _ = audience;
        None
    }

    /// Reports that the server refused this token, so that the next call gets a new one. A late report
    /// about a token that was replaced meanwhile does nothing.
    fn reject(&self, token: &OpTok);

    /// Like [`reject`](Self::reject), with the server's own words, which are fit to be logged.
    fn reject_with_reason(&self, token: &OpTok, reason: &str) {
        let _ = reason;
        self.reject(token);
    }

    /// Drops the cached tokens of the audience, and returns how many copies there were.
    fn invalidate(&self, audience: &str) -> usize;
}

/// A handle to a source of tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<dyn TokenSource>);

impl Tokens {
    /// A handle to this source.
    #[must_use]
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// A valid token for the audience; see [`TokenSource::token`].
    ///
    /// # Errors
    /// Why there is no token.
    pub async fn token(&self, audience: &str) -> Result<Arc<OpTok>, Error> {
        match self.0.at_hand(audience) {
            Some(token) => Ok(token),
            None => self.0.token(audience).await,
        }
    }

    /// Reports that the server refused this token; see [`TokenSource::reject`].
    pub fn reject(&self, token: &OpTok) {
        self.0.reject(token);
    }

    /// Reports that the server refused this token, and why; see [`TokenSource::reject_with_reason`].
    pub fn reject_with_reason(&self, token: &OpTok, reason: &str) {
        self.0.reject_with_reason(token, reason);
    }

    /// Drops the cached tokens of the audience; see [`TokenSource::invalidate`].
    pub fn invalidate(&self, audience: &str) -> usize {
        self.0.invalidate(audience)
    }
}
