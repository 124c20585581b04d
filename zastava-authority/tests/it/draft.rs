//! Proofs whose every part can be wrong, and a verifier for them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, Uri};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use serde_json::{Value, json};
use zastava_authority::verify::{ProofError, ReceivedProof, Verifier, VerifierOptions};
use zastava_core::clock::Timestamp;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

pub(crate) fn later(seconds: u64) -> Timestamp {
    now().saturating_add(Duration::from_secs(seconds))
}

pub(crate) fn uri() -> Uri {
    Uri::from_static("https://api.test/v1/events?page=2")
}

pub(crate) fn headers(proofs: &[&str]) -> HeaderMap {
    proofs.iter().map(|proof| ("dpop".parse().unwrap(), HeaderValue::from_str(proof).unwrap())).collect()
}

pub(crate) fn verify_at(verifier: &Verifier, proof: &str, now: Timestamp) -> Result<String, ProofError> {
    let received = ReceivedProof {
        method: &Method::POST,
        uri: &uri(),
        headers: &headers(&[proof]),
        access_token: None,
        thumbprint: None,
    };
    verifier.verify(&received, now).map(|proof| proof.thumbprint)
}

/// A verifier that demands no nonce.
pub(crate) fn verifier() -> Verifier {
    Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() })
}

/// A proof whose every part can be wrong.
pub(crate) struct Draft {
    pub(crate) key: SigningKey,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Draft {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate();
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
        let claims = json!({
            "jti": "one", "htm": "POST", "htu": "https://api.test/v1/events", "iat": now().unix_seconds(),
        });
        Self { key, header, claims }
    }

    pub(crate) fn sign(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}
