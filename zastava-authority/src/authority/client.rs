//! How the client proves who it is: RFC 6749 section 2.3, RFC 7523, RFC 8705 section 2.

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
/// An assertion is sent at once, and is good once.
const ASSERTION_SECONDS: i64 = 60;

/// Files are small and local; reading one for each request lets a new secret or key count at once.
#[derive(Debug)]
pub(super) enum Authentication {
    /// `private_key_jwt` with the key in this file.
    Assertion(PathBuf),
    /// The transport shows a certificate; the form names the client.
    MutualTls,
    /// `client_secret_basic` with the secret in this file.
    Secret(PathBuf),
    /// The form names the client and that is all, for labs.
    Public,
}

impl Authentication {
    pub(super) fn new(options: &AuthorityOptions) -> Self {
        match (&options.client_assertion_key_path, &options.client_secret_path) {
            (Some(path), _) => Self::Assertion(path.clone()),
            (None, _) if options.require_mutual_tls => Self::MutualTls,
            (None, Some(path)) => Self::Secret(path.clone()),
            (None, None) if options.client_certificate_path.is_some() => Self::MutualTls,
            (None, None) => Self::Public,
        }
    }

    /// Adds what proves it to one request. Called for each attempt: the server takes an assertion
    /// once, also when it asks for a nonce then.
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
            Self::Assertion(path) => {
                let assertion = Zeroizing::new(assertion(client_id, issuer, now, path)?);
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

/// RFC 7523 section 3. The audience is the issuer alone, as text (FAPI 2.0, and the successor of
/// RFC 7523, which also names the type): an assertion for a token endpoint could be used at another
/// server that claims the same endpoint.
fn assertion(client_id: &str, issuer: &str, now: Timestamp, path: &Path) -> Result<String, Error> {
    let key = DpopKey::from_file(path)?;
    let header = Header { alg: "ES256", typ: "client-authentication+jwt", kid: key.id() };
    let iat = now.unix_seconds();
    let claims = Assertion {
        iss: client_id,
        sub: client_id,
        aud: issuer,
        jti: base64url(random::<16>()),
        iat,
        exp: iat + ASSERTION_SECONDS,
    };
    let claims = serde_json::to_vec(&claims).expect("words and numbers have a JSON form");
    key.sign_compact(&(encode_segment(&header) + "."), &claims)
}
