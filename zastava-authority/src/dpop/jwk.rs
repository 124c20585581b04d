//! P-256 keys as JWK (RFC 7517, RFC 7518 section 6.2).

use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use zastava_core::json;
use zeroize::Zeroizing;

use crate::encoding::{base64url, base64url_decode, sha256};

/// A public key. Its members are in the order that the thumbprint needs (RFC 7638 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PublicJwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

impl PublicJwk {
    /// The key with this point: two coordinates of 32 bytes.
    pub(crate) fn of(point: &[u8; 64]) -> Self {
        let (x, y) = point.split_at(32);
        Self { crv: "P-256", kty: "EC", x: base64url(x), y: base64url(y) }
    }

    pub(crate) fn thumbprint(&self) -> String {
        let Self { crv, kty, x, y } = self;
        // Base64url needs no escapes.
        let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
        base64url(sha256(&[canonical.as_bytes()]))
    }
}

/// A key as the other side sent it.
#[derive(Deserialize)]
pub(crate) struct RawJwk<'a> {
    // Missing members read as empty, which no P-256 key has.
    #[serde(default)]
    kty: &'a str,
    #[serde(default)]
    crv: &'a str,
    #[serde(default)]
    x: &'a str,
    #[serde(default)]
    y: &'a str,
    #[serde(default, borrow)]
    alg: Option<&'a str>,
    // A proof must have none of these: the private members of every key type, and the members that
    // would make us fetch or trust something else.
    #[serde(default)]
    d: Present,
    #[serde(default)]
    k: Present,
    #[serde(default)]
    p: Present,
    #[serde(default)]
    q: Present,
    #[serde(default)]
    dp: Present,
    #[serde(default)]
    dq: Present,
    #[serde(default)]
    qi: Present,
    #[serde(default)]
    oth: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    jku: Present,
}

impl RawJwk<'_> {
    /// The two coordinates, if the members are those of a public P-256 key and no others. They may not
    /// be a point of the curve.
    pub(crate) fn point(&self) -> Option<[u8; 64]> {
        let private = [&self.d, &self.k, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth];
        let foreign = [&self.x5u, &self.x5c, &self.jku];
        if private.into_iter().chain(foreign).any(|member| member.0)
            || self.kty != "EC"
            || self.crv != "P-256"
            || self.alg.is_some_and(|alg| alg != "ES256")
        {
            return None;
        }
        let mut point = [0; 64];
        point[..32].copy_from_slice(&coordinate(self.x)?);
        point[32..].copy_from_slice(&coordinate(self.y)?);
        Some(point)
    }
}

/// Full 32 bytes, leading zeros included (RFC 7518 section 6.2.1.2).
fn coordinate(text: &str) -> Option<[u8; 32]> {
    base64url_decode(text)?.try_into().ok()
}

/// Whether a member is present, even as `null`.
#[derive(Default)]
pub(crate) struct Present(pub(crate) bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Ok(Self(true))
    }
}

#[derive(Deserialize)]
struct RawPrivateJwk {
    kty: String,
    crv: String,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    d: Scalar,
    #[serde(default)]
    kid: Option<String>,
}

/// Cleared on drop, also if what follows it is malformed.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Scalar(Zeroizing<String>);

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// The text of a file that may be a JWK, after a byte order mark.
pub(super) fn text_of(file: &[u8]) -> Option<&[u8]> {
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).trim_ascii_start();
    text.starts_with(b"{").then_some(text)
}

/// Reads a private key and its `kid`, or says why not. The parser's own error would quote the text.
pub(super) fn parse_private(text: &[u8]) -> Result<(SecretKey, Option<String>), &'static str> {
    let raw: RawPrivateJwk = json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "its JSON is no private JWK: kty, crv or d is missing",
        _ => "it begins like a JWK and is not JSON",
    })?;
    if raw.kty != "EC" || raw.crv != "P-256" {
        return Err("its JWK is none of P-256");
    }
    let scalar = base64url_decode(&raw.d.0).map(Zeroizing::new).filter(|scalar| scalar.len() == 32);
    let key = scalar.and_then(|scalar| SecretKey::from_slice(&scalar).ok());
    let key = key.ok_or("d of its JWK is no private key")?;
    let PublicJwk { x, y, .. } = PublicJwk::of(&point_of(&key.public_key()));
    let agrees = |given: Option<String>, own: String| given.is_none_or(|given| given == own);
    match agrees(raw.x, x) && agrees(raw.y, y) {
        true => Ok((key, raw.kid)),
        false => Err("x or y of its JWK contradicts d"),
    }
}

/// The two coordinates of a key.
pub(crate) fn point_of(key: &PublicKey) -> [u8; 64] {
    let mut point = [0; 64];
    // The first byte is 0x04.
    point.copy_from_slice(&key.to_sec1_point(false).as_bytes()[1..]);
    point
}
