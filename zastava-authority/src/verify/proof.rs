//! A received proof, parsed, with its key and signature checked.

use http::HeaderMap;
use serde::Deserialize;
use zastava_core::json;

use super::{ProofError, signature};
use crate::dpop::{Present, PublicJwk, RawJwk};
use crate::encoding::base64url_decode;

/// Proofs have about 600 bytes.
const PROOF_BYTES_MAX: usize = 8 * 1024;

/// A proof whose signature was made by the key in it.
pub(super) struct Proof {
    pub(super) thumbprint: String,
    pub(super) claims: Claims,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) jti: String,
    pub(super) htm: String,
    pub(super) htu: String,
    pub(super) iat: NumericDate,
    #[serde(default)]
    pub(super) ath: Option<String>,
    #[serde(default)]
    pub(super) nonce: Option<String>,
}

/// Seconds since the epoch, as a JSON number of any form (RFC 7519 section 2). Fractions are cut off.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub(super) struct NumericDate(pub(super) i64);

impl TryFrom<serde_json::Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        let whole = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64));
        whole.map(Self).ok_or("no number")
    }
}

#[derive(Deserialize)]
struct RawHeader<'a> {
    // Missing members read as empty, so that each is refused under its own name.
    #[serde(default)]
    typ: &'a str,
    #[serde(default)]
    alg: &'a str,
    #[serde(borrow)]
    jwk: RawJwk<'a>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    x5u: Present,
}

impl Proof {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ProofError> {
        let mut values = headers.get_all("dpop").iter();
        let value = values.next().ok_or(ProofError::Missing)?;
        if values.next().is_some() {
            return Err(ProofError::Multiple);
        }
        value.to_str().map_err(|_| ProofError::Malformed).and_then(Self::parse)
    }

    fn parse(text: &str) -> Result<Self, ProofError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ProofError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(ProofError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(ProofError::Malformed)?;
        let [header, claims, signature] =
            [header, claims, signature].map(|part| base64url_decode(part).ok_or(ProofError::Malformed));
        let (header, claims, signature) = (header?, claims?, signature?);

        let header: RawHeader<'_> = json::from_slice(&header).map_err(|_| ProofError::Malformed)?;
        if header.crit.0 {
            // RFC 7515 section 4.1.11: no extension is understood, so none may be critical.
            return Err(ProofError::Malformed);
        }
        if header.jku.0 || header.x5u.0 {
            // A key comes from `jwk` only.
            return Err(ProofError::Key);
        }
        if header.typ != "dpop+jwt" {
            return Err(ProofError::Type);
        }
        if header.alg != "ES256" {
            return Err(ProofError::Algorithm);
        }
        let point = header.jwk.point().ok_or(ProofError::Key)?;
        signature::check(&point, signed.as_bytes(), &signature)?;

        let claims: Claims = json::from_slice(&claims).map_err(|_| ProofError::Malformed)?;
        if claims.jti.is_empty() {
            return Err(ProofError::Malformed);
        }
        Ok(Self { thumbprint: PublicJwk::of(&point).thumbprint(), claims })
    }
}
