//! The error type of the crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// The error of a service below.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The source of an error that several callers share.
type SharedSource = Arc<dyn std::error::Error + Send + Sync>;

/// Why there is no token, no connection or no key.
///
/// Cheap to clone, since one failed request answers all callers that waited for it. Holds no secret:
/// no token, no proof, and no description that a server wrote.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: SharedSource,
    },
    /// A file holds no P-256 private key.
    #[error("{} holds no P-256 private key in PEM (PKCS#8, SEC1) or JWK", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A client certificate, its key or a bundle of authorities is not usable for TLS.
    #[error("cannot use the certificates or the key in {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SharedSource,
    },
    /// No bundle of authorities is configured, and the system has none.
    #[error("no certificate authorities: the system has none and no bundle is configured")]
    NoRoots,
    /// The TLS client cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] SharedSource),
    /// The request is for plain `http`, which only a lab switch allows.
    #[error("refused to send to {origin}: it is not https")]
    Insecure {
        /// Scheme, host and port.
        origin: String,
    },
    /// There was no answer within the time allowed.
    #[error("no answer within {after:?}")]
    Timeout {
        /// The time allowed.
        after: Duration,
    },
    /// The answer's body is longer than allowed.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// There is no connection, or it broke.
    #[error("cannot reach {origin}")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// Why.
        #[source]
        source: SharedSource,
    },
    /// Authority answered with an error status.
    #[error("authority answered {status}{}", code.as_deref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused {
        /// The status.
        status: StatusCode,
        /// The OAuth error code (RFC 6749 section 5.2), if the answer had one.
        code: Option<String>,
        /// How long Authority asks to wait.
        retry_after: Option<Duration>,
    },
    /// Authority's metadata or token answer does not follow the standards.
    #[error("authority's answer is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The metadata belongs to another issuer (RFC 8414 section 3.3).
    #[error("authority calls itself {found:?}, not {expected:?}")]
    Issuer {
        /// The configured issuer.
        expected: String,
        /// The issuer in the metadata, shortened.
        found: String,
    },
    /// The token has another type than required, and was thrown away (RFC 9449 section 5).
    #[error("authority issued a token of type {found:?} where {expected} is required")]
    TokenType {
        /// `DPoP` or `Bearer`.
        expected: &'static str,
        /// What came instead, shortened.
        found: String,
    },
    /// The resource server keeps refusing fresh tokens.
    #[error("the resource server refuses tokens that were just issued")]
    Rejected,
    /// There is no valid token, and the last request for one failed.
    #[error("no valid token for {audience:?}")]
    Unavailable {
        /// The audience.
        audience: String,
        /// How long to wait at least before asking again.
        retry_after: Duration,
        /// Why the last request failed.
        #[source]
        last: Arc<Self>,
    },
    /// The process has tokens for as many audiences as it may.
    #[error("more than {max} audiences")]
    TooManyAudiences {
        /// The bound.
        max: usize,
    },
    /// The request would send a token to an origin that it is not for.
    #[error("refused to send a token for {expected} to {found}")]
    ForeignOrigin {
        /// The origin that the token is for.
        expected: String,
        /// The origin of the request.
        found: String,
    },
    /// The signer failed, so the request was not sent.
    #[error("no signature could be made")]
    Sign(#[source] SharedSource),
    /// The token is not valid in a header.
    #[error("the token cannot be sent")]
    Unsendable,
    /// The async runtime ended.
    #[error("the async runtime is stopping")]
    Stopped,
}

impl Error {
    pub(crate) fn file(path: &Path, error: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source: Arc::new(error) }
    }

    #[cfg(feature = "client")]
    pub(crate) fn certificate(path: &Path, error: impl Into<BoxError>) -> Self {
        Self::Certificate { path: path.to_owned(), source: error.into().into() }
    }

    /// The error of a service, or that it could not be reached.
    #[cfg(feature = "client")]
    pub(crate) fn from_service(origin: String, error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(source) => Self::Unreachable { origin, source: source.into() },
        }
    }

    /// Whether only a change of configuration, keys, certificates or Authority's settings helps.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::Key { .. }
            | Self::Certificate { .. }
            | Self::NoRoots
            | Self::Tls(_)
            | Self::Insecure { .. }
            | Self::Issuer { .. }
            | Self::TokenType { .. }
            | Self::TooManyAudiences { .. }
            | Self::ForeignOrigin { .. } => true,
            Self::Refused { status, .. } => {
                status.is_client_error()
                    && *status != StatusCode::TOO_MANY_REQUESTS
                    && *status != StatusCode::REQUEST_TIMEOUT
            }
            Self::Unavailable { last, .. } => last.is_configuration(),
            _ => false,
        }
    }

    /// How long to wait at least before asking again, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The OAuth error code that Authority gave, such as `invalid_client`.
    #[must_use]
    pub fn oauth_code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            Self::Unavailable { last, .. } => last.oauth_code(),
            _ => None,
        }
    }
}
