//! The error type of the crate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// The error of a service below.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The source of an error that several callers share.
pub(crate) type SharedSource = Arc<dyn std::error::Error + Send + Sync>;

/// Why there is no token, no connection or no key.
///
/// Cheap to clone, since one failed request answers all callers that waited for it. Holds no secret: no
/// token, no proof, no bytes of a key file. What a server wrote is shortened, and words in it that could
/// be credentials are left out.
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
        /// What it holds instead.
        #[source]
        source: SharedSource,
    },
    /// A client certificate, its key or a bundle of authorities is not usable for TLS.
    #[error("cannot use the certificates or the key in {}", path.display())]
    Certificate {
        /// The file that is wrong.
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
    #[error("{url} did not answer within {after:?}")]
    Timeout {
        /// What was asked.
        url: String,
        /// The time allowed.
        after: Duration,
    },
    /// The answer's body is longer than allowed.
    #[error("the answer of {origin} is longer than {bytes_max} bytes")]
    TooLong {
        /// Scheme, host and port.
        origin: String,
        /// The bound.
        bytes_max: usize,
    },
    /// The server ended the handshake for want of a client certificate that it accepts (RFC 8446 section
    /// 6.2).
    #[error("{origin} refused our client certificate")]
    CertificateRefused {
        /// Scheme, host and port.
        origin: String,
        /// The server's alert.
        #[source]
        source: SharedSource,
    },
    /// The server's own certificate does not hold against the trusted authorities, or has another name.
    #[error("the certificate of {origin} is not accepted")]
    Untrusted {
        /// Scheme, host and port.
        origin: String,
        /// Why.
        #[source]
        source: SharedSource,
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
    #[error("authority answered {status}{}{asked}{}{}", after(" ", code), advice(*status), after(": ", description))]
    Refused {
        /// The status.
        status: StatusCode,
        /// The OAuth error code (RFC 6749 section 5.2), if the answer had one.
        code: Option<String>,
        /// The server's own words (`error_description`), as far as they are fit to be shown.
        description: Option<String>,
        /// What was asked, and by whom.
        asked: Arc<Asked>,
        /// How long Authority asks to wait.
        retry_after: Option<Duration>,
    },
    /// Authority's metadata or token answer does not follow the standards.
    #[error("the answer of {url} is malformed: {reason}")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Authority does not do what is required of it.
    #[error("the authority at {url} cannot be used: {reason}")]
    Unsupported {
        /// What was asked.
        url: String,
        /// What it cannot do.
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
    /// The token is a JWT and says something else about itself than was required. It was thrown away.
    #[error("authority issued a token whose {claim} is {found}, where {expected} is required; {advice}")]
    Claim {
        /// The claim, such as `aud` or `cnf.jkt`.
        claim: &'static str,
        /// What it must be.
        expected: String,
        /// What it is, shortened and escaped.
        found: String,
        /// What to change at Authority, or which setting to change here.
        advice: &'static str,
    },
    /// The resource server keeps refusing fresh tokens.
    #[error("the resource server refuses tokens that were just issued{}", after(": ", reason))]
    Rejected {
        /// The server's own words, as far as they are fit to be shown.
        reason: Option<String>,
    },
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
            Err(source) => crate::transport::failure(origin, source.into()),
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
            | Self::Claim { .. }
            | Self::CertificateRefused { .. }
            | Self::Untrusted { .. }
            | Self::Unsupported { .. }
            | Self::TooManyAudiences { .. }
            | Self::ForeignOrigin { .. } => true,
            Self::Refused { status, .. } => {
                (status.is_client_error() || status.is_redirection())
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

/// What was asked of Authority, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// The URL, without its query.
    pub url: String,
    /// The id of the client. `None` for a document that anybody may read.
    pub client_id: Option<String>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " at {}", self.url)?;
        self.client_id.as_ref().map_or(Ok(()), |client_id| write!(f, " for client {client_id:?}"))
    }
}

fn advice(status: StatusCode) -> &'static str {
    if status == StatusCode::NOT_FOUND { "; check issuer and tokenPath" } else { "" }
}

fn after(separator: &str, text: &Option<String>) -> String {
    text.as_ref().map(|text| format!("{separator}{text}")).unwrap_or_default()
}
