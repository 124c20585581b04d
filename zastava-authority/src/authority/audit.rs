//! What the audit log says about a token: everything but the token.

use std::fmt::Write as _;

use zastava_core::telemetry::scope;

use super::claims::Claims;
use super::token_state::RequestReason;
use crate::encoding::sha256;
use crate::token::OpTok;

/// This many bytes of a hash distinguish tokens and disclose nothing about them.
const HASH_BYTES: usize = 8;

pub(super) fn log_issued(token: &OpTok, reason: RequestReason) {
    tracing::info!(
        scope = scope::TOKEN_ISSUE,
        token_type = if token.is_dpop() { "DPoP" } else { "Bearer" },
        audience = token.audience(),
        expires_at = %token.expires_at(),
        generation = token.generation(),
        jkt = token.thumbprint(),
        x5t = token.certificate_thumbprint(),
        jti_sha256 = token_id(token.expose()),
        cause = reason.name(),
        "Issued runtime OpTok"
    );
}

/// The start of the SHA-256 of a JWT's `jti`, in hexadecimal. It finds the token in the log of a
/// resource server that logs `jti`, and is of no use for anything else. `None` for an opaque token.
fn token_id(token: &str) -> Option<String> {
    let claims = Claims::read(token)?;
    let jti = claims.id()?;
    let mut id = String::new();
    for byte in &sha256(&[jti.as_bytes()])[..HASH_BYTES] {
        // Writing to a string does not fail.
        let _ = write!(id, "{byte:02x}");
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::base64url;

    #[test]
    fn only_a_jwt_has_an_id() {
        let jwt = format!("e30.{}.x", base64url(r#"{"jti":"abc"}"#));
        // SHA-256 of "abc", FIPS 180-4.
        assert_eq!(token_id(&jwt).as_deref(), Some("ba7816bf8f01cfea"));
        for opaque in ["", "abc", "a.b.c", "e30.e30.e30"] {
            assert_eq!(token_id(opaque), None);
        }
    }
}
