//! The key that tokens are bound to, and the proofs that it signs (RFC 9449).

mod jwk;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use http::{Method, Uri};
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use serde::Serialize;
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;
use zeroize::Zeroizing;

pub(crate) use self::jwk::{Present, PublicJwk, RawJwk};
use crate::encoding::{base64url, random, sha256};
use crate::error::Error;
use crate::target_uri;

/// A key file has a few hundred bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A P-256 key that signs DPoP proofs with ES256.
///
/// Signatures are deterministic (RFC 6979), so they need no good random numbers. The key is
/// zeroized on drop; `Debug` shows its thumbprint only.
pub struct DpopKey {
    key: SigningKey,
    thumbprint: String,
    /// The first segment of every proof with its full stop: it depends on the key alone.
    header: String,
}

impl DpopKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(SigningKey::generate())
    }

    /// Reads a PEM file (PKCS#8 or SEC1) or a private JWK (RFC 7517).
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Key`] when it holds no P-256 private key.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let mut text = Zeroizing::new(String::new());
        let opened = File::open(path).map(|file| file.take(KEY_FILE_BYTES_MAX));
        opened
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| Error::file(path, error))?;
        Self::parse(&text).ok_or_else(|| Error::Key { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim_start().starts_with('{') {
            return jwk::parse_private(text).map(Self::new);
        }
        let key = SecretKey::from_pkcs8_pem(text).ok().or_else(|| SecretKey::from_sec1_pem(text).ok())?;
        Some(Self::new(key.into()))
    }

    fn new(key: SigningKey) -> Self {
        let jwk = PublicJwk::of(key.verifying_key());
        let header = Header { typ: "dpop+jwt", alg: "ES256", jwk: &jwk };
        Self { header: encode_segment(&header) + ".", thumbprint: jwk.thumbprint(), key }
    }

    /// The key as PKCS#8 PEM.
    ///
    /// # Panics
    /// Never: a P-256 key has a PKCS#8 form.
    #[must_use]
    pub fn to_pem(&self) -> Secret {
        let key = SecretKey::from(&self.key);
        let pem = key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key has a PKCS#8 form");
        Secret::new(pem.as_str().to_owned())
    }

    /// The public key's thumbprint (RFC 7638), base64url: what `cnf.jkt` of a bound token says.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Signs a proof for one attempt of one request (RFC 9449 section 4.2): the value of its `DPoP`
    /// header. Every call makes a new `jti`.
    #[must_use]
    pub fn proof(&self, request: &ProofRequest<'_>) -> String {
        let claims = Claims {
            jti: &base64url(random::<16>()),
            htm: request.method.as_str(),
            htu: &target_uri::of(request.uri),
            iat: request.issued_at.unix_seconds(),
            ath: request.access_token.map(access_token_hash),
            nonce: request.nonce,
        };
        sign_compact(&self.key, &self.header, &claims)
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// What a proof is about.
#[derive(Clone, Copy)]
pub struct ProofRequest<'a> {
    /// The request's method, exactly as it is sent.
    pub method: &'a Method,
    /// The request's absolute URI; query and fragment do not count.
    pub uri: &'a Uri,
    /// The token that rides along, if one does.
    pub access_token: Option<&'a str>,
    /// The newest nonce of the server that is asked.
    pub nonce: Option<&'a str>,
    /// Now.
    pub issued_at: Timestamp,
}

impl fmt::Debug for ProofRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofRequest")
            .field("method", self.method)
            .field("uri", &target_uri::of(self.uri))
            .field("access_token", &self.access_token.map(|_| "…"))
            .field("nonce", &self.nonce)
            .field("issued_at", &self.issued_at)
            .finish()
    }
}

/// `ath`: base64url of the SHA-256 of the token's ASCII.
pub(crate) fn access_token_hash(token: &str) -> String {
    base64url(sha256(&[token.as_bytes()]))
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    jwk: &'a PublicJwk,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// A compact JWS (RFC 7515 section 7.1) behind a header segment that ends with a full stop.
pub(crate) fn sign_compact(key: &SigningKey, header: &str, claims: &impl Serialize) -> String {
    let mut jws = format!("{header}{}", encode_segment(claims));
    let signature: Signature = key.sign(jws.as_bytes());
    jws.push('.');
    jws.push_str(&base64url(signature.to_bytes()));
    jws
}

/// Only maps of words and numbers are given here, and they always have a JSON form.
pub(crate) fn encode_segment(value: &impl Serialize) -> String {
    base64url(serde_json::to_vec(value).expect("words and numbers have a JSON form"))
}
