//! Why a proof is refused.

use http::StatusCode;

/// The check that a proof failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no `DPoP` header.
    #[error("there is no DPoP header")]
    Missing,
    /// There is more than one.
    #[error("there is more than one DPoP header")]
    Multiple,
    /// It is not a compact JWS with all claims, is too long, or has critical extensions.
    #[error("the proof is malformed")]
    Malformed,
    /// Its `typ` is not `dpop+jwt`.
    #[error("the proof's type is not dpop+jwt")]
    Type,
    /// Its `alg` is not ES256.
    #[error("the proof is not signed with ES256")]
    Algorithm,
    /// Its `jwk` is not a public P-256 key, or has members that a public key must not have.
    #[error("the proof's key is not a public P-256 key")]
    Key,
    /// The signature does not belong to the key and the text.
    #[error("the proof's signature is wrong")]
    Signature,
    /// `htm` is another method.
    #[error("the proof is for another method")]
    Method,
    /// `htu` is another URI.
    #[error("the proof is for another URI")]
    Uri,
    /// `iat` is too old or in the future.
    #[error("the proof is too old or from the future")]
    IssuedAt,
    /// It has no nonce, or one that was not issued here, or one that is too old.
    #[error("the proof needs a fresh nonce")]
    NonceMissingOrOld,
    /// The proof was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The memory is full of proofs that are still fresh.
    #[error("too many proofs are in use")]
    Busy,
    /// `ath` is missing or belongs to another token.
    #[error("the proof is for another access token")]
    AccessTokenHash,
    /// The token is bound to another key.
    #[error("the access token is bound to another key")]
    Thumbprint,
}

impl ProofError {
    /// 503 if the verifier cannot serve; otherwise 401.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The OAuth error code: `use_dpop_nonce`, `invalid_dpop_proof`, or `temporarily_unavailable`.
    #[must_use]
    pub fn oauth_code(self) -> &'static str {
        match self {
            Self::NonceMissingOrOld => "use_dpop_nonce",
            Self::Busy => "temporarily_unavailable",
            _ => "invalid_dpop_proof",
        }
    }

    /// The value of a `WWW-Authenticate` header (RFC 9449 section 7.1).
    #[must_use]
    pub fn challenge(self) -> String {
        let code = self.oauth_code();
        // The descriptions above need no escapes.
        format!(r#"DPoP error="{code}", error_description="{self}", algs="ES256""#)
    }
}
