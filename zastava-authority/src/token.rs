//! Tokens, and whoever has them.

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
/// It holds the key that it is bound to, so that a key lives as long as its last token. `Debug`
/// never shows the token, and its memory is cleared on drop.
#[derive(Debug)]
pub struct OpTok {
    token: Secret,
    audience: String,
    expires_at: Timestamp,
    generation: u64,
    binding: Option<Binding>,
    pub(crate) certificate: Option<Arc<str>>,
    pub(crate) is_static: bool,
    authorization: HeaderValue,
}

#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) key: Arc<DpopKey>,
    pub(crate) access_token_hash: AccessTokenHash,
}

impl OpTok {
    /// A token that is bound to `key`, or a bearer token. A source numbers its tokens in
    /// `generation`: later ones have greater numbers.
    ///
    /// # Errors
    /// [`Error::Unsendable`] when the text cannot stand in a header.
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
        // With room for all of it: a buffer that grows leaves copies behind.
        let mut authorization =
            Zeroizing::new(String::with_capacity(scheme.len() + 1 + token.expose().len()));
        for part in [scheme, " ", token.expose()] {
            authorization.push_str(part);
        }
        let authorization = sensitive(authorization)?;
        let binding = key.map(|key| Binding { key, access_token_hash: AccessTokenHash::of(token.expose()) });
        let audience = audience.to_owned();
        let (certificate, is_static) = (None, false);
        Ok(Self { token, audience, expires_at, generation, binding, certificate, is_static, authorization })
    }

    /// Whether it is bound to a key and goes with a proof; else it is a bearer token.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        self.binding.is_some()
    }

    /// Whom it is for.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// When it ends, counted from the start of the request that brought it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The thumbprint of the key that it is bound to (RFC 7638, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        self.binding.as_ref().map(|binding| binding.key.thumbprint())
    }

    /// The thumbprint of the client certificate that it was requested with (RFC 8705 section 3.1).
    #[must_use]
    pub fn certificate_thumbprint(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Which token of its source this is: later ones have greater numbers.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this is the static token, which serves only until Authority first answers.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.is_static
    }

    /// The token itself. Put it into a header that is marked sensitive, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose()
    }

    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// `Authorization`, made once.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }
}

/// What [`TokenSource::token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<OpTok>, Error>> + Send + 'a>>;

/// Has tokens.
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A valid token for the audience.
    ///
    /// # Errors
    /// Why there is none; [`Error::retry_after`] says when to ask again.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a>;

    /// A valid token that is at hand, without waiting.
    fn at_hand(&self, audience: &str) -> Option<Arc<OpTok>> {
        let _ = audience;
        None
    }

    /// The server refused this very token, so the next call gets a new one. A late report about a
    /// token that was replaced meanwhile does nothing.
    fn reject(&self, token: &OpTok);

    /// Drops what is cached for the audience and says how many copies that was.
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
    /// Why there is none.
    pub async fn token(&self, audience: &str) -> Result<Arc<OpTok>, Error> {
        match self.0.at_hand(audience) {
            Some(token) => Ok(token),
            None => self.0.token(audience).await,
        }
    }

    /// The server refused this very token; see [`TokenSource::reject`].
    pub fn reject(&self, token: &OpTok) {
        self.0.reject(token);
    }

    /// Drops what is cached for the audience; see [`TokenSource::invalidate`].
    pub fn invalidate(&self, audience: &str) -> usize {
        self.0.invalidate(audience)
    }
}
