//! Tokens, and whoever has them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;

use crate::error::Error;

/// An operational token: a short-lived access token for one audience.
///
/// `Debug` never shows the token, and its memory is cleared on drop.
#[derive(Debug)]
pub struct OpTok {
    pub(crate) token: Secret,
    pub(crate) audience: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) thumbprint: Option<String>,
    pub(crate) generation: u64,
    pub(crate) is_static: bool,
}

impl OpTok {
    /// Whether it is bound to a key and goes with a proof; else it is a bearer token.
    #[must_use]
    pub fn is_dpop(&self) -> bool {
        self.thumbprint.is_some()
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
        self.thumbprint.as_deref()
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
}

/// Has tokens.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A valid token for the audience.
    ///
    /// # Errors
    /// Why there is none; [`Error::retry_after`] says when to ask again.
    async fn token(&self, audience: &str) -> Result<Arc<OpTok>, Error>;

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
        self.0.token(audience).await
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
