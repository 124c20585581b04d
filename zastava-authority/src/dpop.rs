//! The key that tokens are bound to, and the proofs that it signs (RFC 9449).

mod claims;
mod jwk;
mod signer;

use std::fmt;
use std::path::Path;

use http::{Method, Uri};
use p256::SecretKey;
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use serde::Serialize;
use zastava_core::clock::Timestamp;
use zastava_core::pem;
use zastava_core::secret::Secret;

pub(crate) use self::claims::{AccessTokenHash, Claims};
pub(crate) use self::jwk::{Present, PublicJwk, RawJwk, point_of};
use self::signer::P256Signer;
pub use self::signer::{ProofSigner, SignerError};
use crate::encoding::{base64url, base64url_len, pem_encode, push_base64url};
use crate::error::{BoxError, Error};
use crate::small_file;
use crate::target_uri;

const SIGNATURE_BYTES: usize = 64;

/// A P-256 key that signs DPoP proofs with ES256.
///
/// `Debug` shows only its thumbprint. Keys that are read or generated here are zeroized on drop.
pub struct DpopKey {
    signer: Box<dyn ProofSigner>,
    /// Whether the TLS library signs. The key that replaces this one in its file then signs likewise.
    #[cfg(feature = "client")]
    by_tls_provider: bool,
    thumbprint: String,
    /// The `kid` of the JWK that it was read from.
    id: Option<String>,
    /// The first segment of every proof with its full stop. It depends only on the key.
    header: String,
}

impl DpopKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(P256Signer(SecretKey::generate().into()))
    }

    /// A key whose signatures are made by `signer`.
    #[must_use]
    pub fn new(signer: impl ProofSigner + 'static) -> Self {
        let jwk = PublicJwk::of(&signer.public_key());
        let header = encode_segment(&Header { typ: "dpop+jwt", alg: "ES256", jwk: &jwk }) + ".";
        let thumbprint = jwk.thumbprint();
        Self {
            signer: Box::new(signer),
            #[cfg(feature = "client")]
            by_tls_provider: false,
            thumbprint,
            id: None,
            header,
        }
    }

    /// Reads a PEM file (PKCS#8 or SEC1) or a private JWK (RFC 7517).
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Key`] if it holds no P-256 private key.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let (key, id) = read_key(path)?;
        Ok(Self { id, ..Self::new(P256Signer(key.into())) })
    }

    /// Like [`DpopKey::from_file`], with signatures by the provider of the TLS library (aws-lc-rs),
    /// which is nearly four times as fast. They are not deterministic: each needs good random numbers.
    ///
    /// # Errors
    /// Those of [`DpopKey::from_file`], and [`Error::Sign`] if the provider refuses the key.
    #[cfg(feature = "client")]
    pub fn from_file_by_tls_provider(path: &Path) -> Result<Self, Error> {
        let (key, id) = read_key(path)?;
        let signer = signer::ProviderSigner::new(&key).map_err(|error| Error::Sign(error.into()))?;
        Ok(Self { by_tls_provider: true, id, ..Self::new(signer) })
    }

    /// The key that is in the file now. It signs in the same way as this one.
    #[cfg(feature = "client")]
    pub(crate) fn successor(&self, path: &Path) -> Result<Self, Error> {
        if self.by_tls_provider { Self::from_file_by_tls_provider(path) } else { Self::from_file(path) }
    }

    /// A new random key as PKCS#8 PEM, for a file.
    ///
    /// # Panics
    /// Never: a P-256 key has a PKCS#8 form.
    #[must_use]
    pub fn generate_pem() -> Secret {
        let der = SecretKey::generate().to_pkcs8_der().expect("a P-256 key has a PKCS#8 form");
        Secret::new(pem_encode("PRIVATE KEY", der.as_bytes()))
    }

    /// The public key's thumbprint (RFC 7638) in base64url: the `cnf.jkt` of a bound token.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The `kid` of the JWK that it was read from.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Signs a proof for one attempt of one request (RFC 9449 section 4.2): the value of its `DPoP`
    /// header. Every call makes a new `jti`.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn proof(&self, request: &ProofRequest<'_>) -> Result<String, Error> {
        self.sign_claims(&Claims {
            method: request.method,
            uri: request.uri,
            issued_at: request.issued_at.unix_seconds(),
            access_token_hash: request.access_token.map(AccessTokenHash::of).as_ref(),
            nonce: request.nonce,
        })
    }

    pub(crate) fn sign_claims(&self, claims: &Claims<'_>) -> Result<String, Error> {
        self.sign_compact(&self.header, claims.to_json().as_bytes())
    }

    /// A compact JWS (RFC 7515 section 7.1) behind a header segment that ends with a full stop. The
    /// buffer has its length from the start, so that nothing is copied on the way to the header.
    pub(crate) fn sign_compact(&self, header: &str, claims: &[u8]) -> Result<String, Error> {
        let length = header.len() + base64url_len(claims.len()) + 1 + base64url_len(SIGNATURE_BYTES);
        let mut jws = String::with_capacity(length);
        jws.push_str(header);
        push_base64url(&mut jws, claims);
        let signature = self.signer.sign(jws.as_bytes()).map_err(|error| Error::Sign(error.into()))?;
        jws.push('.');
        push_base64url(&mut jws, &signature);
        Ok(jws)
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey")
            .field("thumbprint", &self.thumbprint)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// What a proof states.
#[derive(Clone, Copy)]
pub struct ProofRequest<'a> {
    /// The request's method, exactly as it is sent.
    pub method: &'a Method,
    /// The request's absolute URI. Query and fragment do not count.
    pub uri: &'a Uri,
    /// The token in the same request, if there is one.
    pub access_token: Option<&'a str>,
    /// The newest nonce of the server.
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

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    jwk: &'a PublicJwk,
}

/// Encodes a map of strings and numbers, which always has a JSON form.
pub(crate) fn encode_segment(value: &impl Serialize) -> String {
    base64url(serde_json::to_vec(value).expect("words and numbers have a JSON form"))
}

/// The key and, from a JWK, its `kid`.
fn read_key(path: &Path) -> Result<(SecretKey, Option<String>), Error> {
    let file = small_file::read_bytes(path, small_file::SECRET_BYTES_MAX)?;
    parse_key(&file).map_err(|reason| Error::Key { path: path.to_owned(), source: reason.into() })
}

/// No reason quotes the file.
fn parse_key(file: &[u8]) -> Result<(SecretKey, Option<String>), BoxError> {
    if let Some(jwk) = jwk::text_of(file) {
        return Ok(jwk::parse_private(jwk)?);
    }
    let key = pem::private_key(file)?;
    let parsed = SecretKey::from_pkcs8_der(key.der()).ok();
    let parsed = parsed.or_else(|| SecretKey::from_sec1_der(key.der()).ok());
    parsed.map(|key| (key, None)).ok_or_else(|| "its private key is none of P-256".into())
}
