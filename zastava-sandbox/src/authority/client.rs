//! Client authentication: by certificate, or by secret if one is set.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use rustls::pki_types::CertificateDer;
use zastava_core::image::Digest;
use zastava_core::secret::Secret;

use super::form::{Form, decode};
use super::oauth_error::OAuthError;
use super::single;
use crate::certificates::names_client;
use crate::options::CLIENT_ID;

/// `tls_client_auth` (RFC 8705 section 2.1), or `client_secret_basic` (RFC 6749 section 2.3.1)
/// when the request has an `Authorization` header.
pub(super) fn authenticate(
    headers: &HeaderMap,
    form: &Form,
    certificate: Option<&CertificateDer<'_>>,
    secret: Option<&Secret>,
) -> Result<(), OAuthError> {
    let client_id = single(form, "client_id")?;
    if headers.contains_key(header::AUTHORIZATION) {
        return by_secret(headers, client_id, secret);
    }
    // With TLS authentication the certificate alone does not say which client this is.
    match client_id {
        Some(CLIENT_ID) => {}
        Some(_) => return Err(OAuthError::invalid_client("unknown client", false)),
        None => return Err(OAuthError::invalid_client("client_id is missing", false)),
    }
    match certificate {
        Some(certificate) if names_client(certificate, CLIENT_ID) => Ok(()),
        Some(_) => Err(OAuthError::invalid_client("the certificate is another client's", false)),
        None => Err(OAuthError::invalid_client("a client certificate is required", false)),
    }
}

fn by_secret(
    headers: &HeaderMap,
    client_id: Option<&str>,
    secret: Option<&Secret>,
) -> Result<(), OAuthError> {
    let refused = |description| Err(OAuthError::invalid_client(description, true));
    let Some(secret) = secret else { return refused("this server takes client certificates only") };
    let Some((user, password)) = credentials(headers) else {
        return refused("the Authorization header is malformed");
    };
    if client_id.is_some_and(|client_id| client_id != user) {
        return refused("client_id contradicts the Authorization header");
    }
    // Comparing hashes takes a time that discloses nothing about the secret.
    let same = Digest::of(password.expose().as_bytes()) == Digest::of(secret.expose().as_bytes());
    if user == CLIENT_ID && same { Ok(()) } else { refused("unknown client or wrong secret") }
}

/// User and password of exactly one `Basic` header. Both are form-encoded in it.
fn credentials(headers: &HeaderMap) -> Option<(String, Secret)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Secret::new(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (user, password) = pair.expose().split_once(':')?;
    Some((decode(user)?, Secret::new(decode(password)?)))
}
