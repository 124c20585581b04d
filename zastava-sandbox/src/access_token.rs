//! The access tokens that Authority issues and Scanner checks: JWTs in the form of RFC 9068.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zastava_authority::verify::{Confirmation, TokenKey};
use zastava_core::clock::Timestamp;

use crate::options::CLIENT_ID;

/// The scope that both of Scanner's routes require.
pub(crate) const SCANNER_SCOPE: &str = "api:scanner.runtime.write";
/// The audience that is Scanner.
const SCANNER_AUDIENCE: &str = "scanner";

/// Issues and checks access tokens of one issuer.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    key: TokenKey,
    issuer: String,
}

/// Why Scanner does not take a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("the token is not of this issuer")]
    Signature,
    #[error("the token is another issuer's")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is bound to no key")]
    Unbound,
    #[error("the token lacks the scope {SCANNER_SCOPE}")]
    Scope,
}

impl AccessTokens {
    pub(crate) fn new(issuer: String) -> Self {
        Self { key: TokenKey::generate(), issuer }
    }

    /// The public key, for Authority's JWK set.
    pub(crate) fn jwk(&self) -> Value {
        self.key.jwk()
    }

    /// A token that is bound to the key with this thumbprint.
    pub(crate) fn issue(
        &self,
        audience: &str,
        scope: &str,
        thumbprint: &str,
        issued_at: i64,
        lifetime_seconds: u64,
    ) -> String {
        let claims = [
            ("iss", json!(self.issuer)),
            ("sub", json!(CLIENT_ID)),
            ("aud", json!(audience)),
            ("client_id", json!(CLIENT_ID)),
            ("scope", json!(scope)),
            ("iat", json!(issued_at)),
            ("exp", json!(issued_at.saturating_add_unsigned(lifetime_seconds))),
            ("jti", json!(random_id())),
            ("cnf", json!({"jkt": thumbprint})),
        ];
        self.key.sign(&claims.map(|(name, claim)| (name.to_owned(), claim)).into_iter().collect())
    }

    /// What a token for Scanner is bound to.
    pub(crate) fn check_for_scanner(&self, token: &str, now: Timestamp) -> Result<Confirmation, TokenFault> {
        let claims = self.key.verify(token).ok_or(TokenFault::Signature)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("iss") != self.issuer {
            return Err(TokenFault::Issuer);
        }
        if text("aud") != SCANNER_AUDIENCE {
            return Err(TokenFault::Audience);
        }
        if claims.get("exp").and_then(Value::as_i64).is_none_or(|expiry| expiry <= now.unix_seconds()) {
            return Err(TokenFault::Expired);
        }
        let thumbprint = claims.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
        let thumbprint = thumbprint.ok_or(TokenFault::Unbound)?;
        if !text("scope").split(' ').any(|scope| scope == SCANNER_SCOPE) {
            return Err(TokenFault::Scope);
        }
        Ok(Confirmation { key: Some(thumbprint.to_owned()), certificate: None })
    }
}

/// 128 random bits.
fn random_id() -> String {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system's random source works, or no key could have been made");
    URL_SAFE_NO_PAD.encode(bytes)
}
