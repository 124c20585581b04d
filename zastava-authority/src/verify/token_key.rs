//! A small signer of access tokens, for servers in tests and sandboxes.

use std::fmt;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zastava_core::json;

use crate::dpop::{Present, PublicJwk, encode_segment, point_of};
use crate::encoding::{base64url, base64url_decode};

/// Tokens have about 600 bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Signs JWT access tokens (RFC 9068) with ES256 and checks their signatures.
///
/// The caller sets and checks the claims: `exp`, `aud`, `cnf` and all others.
pub struct TokenKey {
    key: SigningKey,
    id: String,
    header: String,
}

#[derive(Deserialize)]
struct RawHeader {
    typ: String,
    alg: String,
    #[serde(default)]
    crit: Present,
}

impl TokenKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        let key = SigningKey::generate();
        let id = PublicJwk::of(&point_of(&key.verifying_key().into())).thumbprint();
        let header = encode_segment(&json!({"typ": "at+jwt", "alg": "ES256", "kid": id})) + ".";
        Self { key, id, header }
    }

    /// A signed token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        let signed = format!("{}{}", self.header, encode_segment(claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", base64url(signature.to_bytes()))
    }

    /// The claims of a token that this key signed. `None` for all other tokens.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: RawHeader = json::from_slice(&base64url_decode(header)?).ok()?;
        if header.typ != "at+jwt" || header.alg != "ES256" || header.crit.0 {
            return None;
        }
        let signature = Signature::from_slice(&base64url_decode(signature)?).ok()?;
        self.key.verifying_key().verify(signed.as_bytes(), &signature).ok()?;
        json::from_slice(&base64url_decode(claims)?).ok()
    }

    /// The public key, for a JWK set.
    ///
    /// # Panics
    /// Never: a public key has a JSON form.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = json!(PublicJwk::of(&point_of(&self.key.verifying_key().into())));
        jwk["kid"] = self.id.as_str().into();
        jwk["alg"] = "ES256".into();
        jwk["use"] = "sig".into();
        jwk
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}
