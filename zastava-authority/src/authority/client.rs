//! Client authentication: RFC 6749 section 2.3, RFC 7523, RFC 8705 section 2.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use serde::Serialize;
use zastava_core::clock::Timestamp;
use zastava_core::options::AuthorityOptions;
use zeroize::Zeroizing;

use super::form::Form;
use crate::dpop::{DpopKey, encode_segment};
use crate::encoding::{base64url, random, sensitive};
use crate::error::Error;
use crate::small_file;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion is sent at once and accepted once.
const ASSERTION_SECONDS: i64 = 60;

/// A file is read for each request, so that a new secret or key counts at once. Files are small.
#[derive(Debug)]
pub(super) enum Authentication {
    /// `private_key_jwt` with the key in this file. `key_id` overrides the `kid` of a JWK.
    Assertion { path: PathBuf, key_id: Option<String> },
    /// The transport presents a certificate, and the form names the client.
    MutualTls,
    /// `client_secret_basic` with the secret in this file.
    Secret(PathBuf),
    /// The form only names the client. For labs.
    Public,
}

impl Authentication {
    pub(super) fn new(options: &AuthorityOptions) -> Self {
        match (&options.client_assertion_key_path, &options.client_secret_path) {
            (Some(path), _) => {
                Self::Assertion { path: path.clone(), key_id: options.client_assertion_key_id.clone() }
            }
            (None, _) if options.require_mutual_tls => Self::MutualTls,
            (None, Some(path)) => Self::Secret(path.clone()),
            (None, None) if options.client_certificate_path.is_some() => Self::MutualTls,
            (None, None) => Self::Public,
        }
    }

    /// The client secret, which a server could repeat in an error.
    pub(super) fn secret(&self) -> Option<Zeroizing<String>> {
        match self {
            Self::Secret(path) => small_file::read(path).ok(),
            Self::Assertion { .. } | Self::MutualTls | Self::Public => None,
        }
    }

    /// Authenticates one attempt. Each attempt needs a new assertion: the server accepts it once, even
    /// if it answers with a nonce challenge.
    pub(super) fn apply(
        &self,
        client_id: &str,
        issuer: &str,
        now: Timestamp,
        form: &mut Form,
        headers: &mut HeaderMap,
    ) -> Result<(), Error> {
        form.push("client_id", client_id);
        match self {
            Self::MutualTls | Self::Public => {}
            Self::Secret(path) => {
                headers.insert(header::AUTHORIZATION, sensitive(basic_credentials(client_id, path)?)?);
            }
            Self::Assertion { path, key_id } => {
                let key = DpopKey::from_file(path)?;
                let key_id = key_id.as_deref().or_else(|| key.id());
                let assertion = Zeroizing::new(assertion(client_id, issuer, now, &key, key_id)?);
                form.push("client_assertion_type", ASSERTION_TYPE);
                form.push("client_assertion", &assertion);
            }
        }
        Ok(())
    }
}

/// RFC 6749 section 2.3.1: both parts are form-encoded first.
fn basic_credentials(client_id: &str, path: &Path) -> Result<Zeroizing<String>, Error> {
    let secret = small_file::read(path)?;
    if secret.trim().is_empty() {
        return Err(Error::file(path, io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
    }
    let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + secret.len()) + 1));
    super::form::encode_onto(&mut pair, client_id);
    pair.push(':');
    super::form::encode_onto(&mut pair, secret.trim());
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Ok(Zeroizing::new(format!("Basic {}", *encoded)))
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

/// RFC 7523 section 3. The only audience is the issuer, as a string (FAPI 2.0, and the successor of
/// RFC 7523, which also names the type). See
/// docs/design/authority.md#why-does-private_key_jwt-name-the-issuer-as-its-audience.
fn assertion(
    client_id: &str,
    issuer: &str,
    now: Timestamp,
    key: &DpopKey,
    kid: Option<&str>,
) -> Result<String, Error> {
    let header = Header { alg: "ES256", typ: "client-authentication+jwt", kid };
    let iat = now.unix_seconds();
    let claims = Assertion {
        iss: client_id,
        sub: client_id,
        aud: issuer,
        jti: base64url(random::<16>()),
        iat,
        exp: iat + ASSERTION_SECONDS,
    };
    let claims = serde_json::to_vec(&claims).expect("strings and numbers have a JSON form");
    key.sign_compact(&(encode_segment(&header) + "."), &claims)
}
