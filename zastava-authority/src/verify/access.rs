//! Whether a request for a protected resource may be served: the token, what it is bound to, and
//! the proof (RFC 9449 section 7, RFC 8705 section 3).

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use zastava_core::clock::Timestamp;

use super::{ProofError, ReceivedProof, Verifier};
use crate::encoding::{base64url, sha256};

/// What a token is bound to: the members of its `cnf` claim, or of an introspection's answer
/// (RFC 9449 section 6, RFC 8705 section 3). Without any binding it is a bearer token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two bindings that there are")]
pub struct Confirmation {
    /// `jkt`
    pub key: Option<String>,
    /// `x5t#S256`
    pub certificate: Option<String>,
}

/// A request for a protected resource, as its server knows it.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "all that counts of a request")]
pub struct ReceivedRequest<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's external URI: scheme and host come from the server's configuration.
    pub uri: &'a Uri,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The client's certificate (DER), from the server's own TLS, or from a proxy that clients cannot
    /// bypass and that removes what they write in its header (RFC 8705 section 6.5).
    pub client_certificate: Option<&'a [u8]>,
}

impl fmt::Debug for ReceivedRequest<'_> {
    /// Without the headers, which hold the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRequest").field("method", self.method).finish_non_exhaustive()
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The request has no credentials.
    #[error("a token is required")]
    NoCredentials,
    /// There is more than one `Authorization` header, or it is malformed.
    #[error("there must be one Authorization header, with a token")]
    Malformed,
    /// The token is unknown, has expired, or is for another audience.
    #[error("the token is not valid here")]
    Token,
    /// The token is good, and is not for what the request asks.
    #[error("the token lacks the scope {required}")]
    InsufficientScope {
        /// The scope that the request needs.
        required: &'static str,
    },
    /// The token is bound to a key and was sent as `Bearer`.
    #[error("the token's binding needs another scheme")]
    Scheme,
    /// The token was sent as `DPoP`, and nothing in it names a key. It may be bound to a certificate: a
    /// server that binds tokens to the certificate alone calls them `DPoP` if the request had a proof.
    #[error("the token is sent as DPoP and is bound to no key")]
    NotKeyBound,
    /// The token is bound to another certificate than the client's.
    #[error("the token is bound to another certificate")]
    Certificate,
    /// The proof is wrong.
    #[error("the proof is refused")]
    Proof(#[source] ProofError),
}

impl Denial {
    /// 401; 400 for a malformed request; 403 for a missing scope; 503 if too many proofs are in use.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::InsufficientScope { .. } => StatusCode::FORBIDDEN,
            Self::Proof(error) => error.status(),
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The value of `WWW-Authenticate` for clients with a key. It has no error code for a request without
    /// credentials (RFC 6750 section 3.1).
    #[must_use]
    pub fn challenge(self) -> String {
        match self {
            Self::NoCredentials => r#"DPoP algs="ES256""#.to_owned(),
            Self::Proof(error) => error.challenge(),
            _ => format!(r#"DPoP {}, algs="ES256""#, self.parameters()),
        }
    }

    /// The value of `WWW-Authenticate` for the client that sent these headers: in the scheme `Bearer` if its
    /// token is right to come so, as one that is bound to a certificate is.
    #[must_use]
    pub fn challenge_for(self, headers: &HeaderMap) -> String {
        let is_bearer = matches!(credentials(headers), Ok((Scheme::Bearer, _)));
        match self {
            Self::Token | Self::Certificate | Self::InsufficientScope { .. } if is_bearer => {
                format!("Bearer {}", self.parameters())
            }
            _ => self.challenge(),
        }
    }

    /// RFC 6750 section 3. Neither the descriptions above nor scopes need escapes.
    fn parameters(self) -> String {
        let (code, scope) = match self {
            Self::Malformed => ("invalid_request", String::new()),
            Self::InsufficientScope { required } => {
                ("insufficient_scope", format!(r#", scope="{required}""#))
            }
            _ => ("invalid_token", String::new()),
        };
        format!(r#"error="{code}", error_description="{self}"{scope}"#)
    }
}

impl Verifier {
    /// Checks the credentials of a request for a protected resource.
    ///
    /// `read_token` checks the token itself (signature or introspection, issuer, audience, expiry, scope).
    /// It returns what the token is bound to and a value for the caller, or [`Denial::Token`] or
    /// [`Denial::InsufficientScope`]. The proof is used up only if all other checks pass.
    ///
    /// # Errors
    /// Why the request is not served.
    pub fn authorize<T>(
        &self,
        request: &ReceivedRequest<'_>,
        now: Timestamp,
        read_token: impl FnOnce(&str) -> Result<(Confirmation, T), Denial>,
    ) -> Result<T, Denial> {
        let (scheme, token) = credentials(request.headers)?;
        let (bound, read) = read_token(token)?;
        self.check_binding(request, now, scheme, token, &bound).map(|()| read)
    }

    /// Like [`Verifier::authorize`], for a token that is read asynchronously, as by an introspection.
    ///
    /// # Errors
    /// Why the request is not served.
    pub async fn authorize_async<'r, T, F>(
        &self,
        request: &ReceivedRequest<'r>,
        now: Timestamp,
        read_token: impl FnOnce(&'r str) -> F,
    ) -> Result<T, Denial>
    where
        F: Future<Output = Result<(Confirmation, T), Denial>>,
    {
        let (scheme, token) = credentials(request.headers)?;
        let (bound, read) = read_token(token).await?;
        self.check_binding(request, now, scheme, token, &bound).map(|()| read)
    }

    fn check_binding(
        &self,
        request: &ReceivedRequest<'_>,
        now: Timestamp,
        scheme: Scheme,
        token: &str,
        bound: &Confirmation,
    ) -> Result<(), Denial> {
        match (scheme, &bound.key) {
            // RFC 9449 section 7.2: a bound token must not pass as a bearer token.
            (Scheme::Bearer, Some(_)) => return Err(Denial::Scheme),
            // Section 7.1: a proof shows nothing about a token that names no key.
            (Scheme::Dpop, None) => return Err(Denial::NotKeyBound),
            _ => {}
        }
        if let Some(expected) = &bound.certificate
            && request.client_certificate.map(certificate_thumbprint).as_ref() != Some(expected)
        {
            return Err(Denial::Certificate);
        }
        if bound.key.is_some() {
            let received = ReceivedProof {
                method: request.method,
                uri: request.uri,
                headers: request.headers,
                access_token: Some(token),
                thumbprint: bound.key.as_deref(),
            };
            self.verify(&received, now).map_err(Denial::Proof)?;
        }
        Ok(())
    }

    /// Puts the current nonce into an answer, and forbids to store the answer (RFC 9449 section 8.2).
    pub fn set_nonce(&self, headers: &mut HeaderMap, now: Timestamp) {
        if let Ok(nonce) = HeaderValue::from_str(&self.nonce(now)) {
            headers.insert("dpop-nonce", nonce);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

/// The `x5t#S256` of a token that is bound to this certificate (DER): base64url of its SHA-256
/// (RFC 8705 section 3.1).
#[must_use]
pub fn certificate_thumbprint(der: &[u8]) -> String {
    base64url(sha256(&[der]))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Dpop,
    Bearer,
}

fn credentials(headers: &HeaderMap) -> Result<(Scheme, &str), Denial> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Denial::NoCredentials)?;
    if values.next().is_some() {
        return Err(Denial::Malformed);
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denial::Malformed)?;
    // RFC 9110 section 11.4: the case of a scheme does not count, and several spaces may follow.
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains([' ', ',']) {
        return Err(Denial::Malformed);
    }
    match scheme {
        _ if scheme.eq_ignore_ascii_case("dpop") => Ok((Scheme::Dpop, token)),
        _ if scheme.eq_ignore_ascii_case("bearer") => Ok((Scheme::Bearer, token)),
        _ => Err(Denial::NoCredentials),
    }
}
