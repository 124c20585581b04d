//! The server's side of DPoP: checks proofs (RFC 9449 section 4.3), issues nonces, signs tokens.
//!
//! ```
//! use http::{HeaderMap, Method, Uri};
//! use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
//! use zastava_authority::{DpopKey, ProofRequest};
//! use zastava_core::clock::Timestamp;
//!
//! let (key, now) = (DpopKey::generate(), Timestamp::now());
//! let (method, uri) = (&Method::POST, &Uri::from_static("https://authority.example/token"));
//! let verifier = Verifier::new(VerifierOptions::default());
//! let nonce = verifier.nonce(now);
//!
//! let request = ProofRequest { method, uri, access_token: None, nonce: Some(&nonce), issued_at: now };
//! let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop"), key.proof(&request).unwrap().parse().unwrap())]);
//! let received = ReceivedProof { method, uri, headers: &headers, access_token: None, thumbprint: None };
//! assert_eq!(verifier.verify(&received, now).unwrap().thumbprint, key.thumbprint());
//! // The same proof a second time is a replay.
//! assert!(verifier.verify(&received, now).is_err());
//! ```

mod access;
mod error;
mod nonce;
mod proof;
mod replay;
mod signature;
mod token_key;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use p256::elliptic_curve::subtle::ConstantTimeEq as _;
use zastava_core::clock::Timestamp;

pub use self::access::{Confirmation, Denial, ReceivedRequest, certificate_thumbprint};
pub use self::error::ProofError;
pub use self::nonce::NonceIssuer;
use self::proof::Proof;
use self::replay::Replays;
pub use self::token_key::TokenKey;
use crate::dpop::AccessTokenHash;
use crate::target_uri;

/// What a [`Verifier`] accepts.
#[derive(Clone, Debug)]
pub struct VerifierOptions {
    /// How old a proof's `iat` may be.
    pub proof_age_max: Duration,
    /// How far in the future it may be: clocks differ.
    pub future_skew: Duration,
    /// How long a nonce is good: 10 s at least.
    pub nonce_lifetime: Duration,
    /// Whether a proof without a nonce is refused.
    pub require_nonce: bool,
    /// How many used proofs are remembered. When all of them are still fresh, further proofs are
    /// refused: a verifier that forgets would accept replays. The memory has sixteen parts, chosen by
    /// a hash, so the first refusals come somewhat earlier.
    pub replay_entries_max: usize,
}

impl Default for VerifierOptions {
    /// 60 s of age and 10 s of skew (the bounds of FAPI 2.0), nonces required and good for 300 s,
    /// 100,000 remembered proofs.
    fn default() -> Self {
        Self {
            proof_age_max: Duration::from_secs(60),
            future_skew: Duration::from_secs(10),
            nonce_lifetime: Duration::from_secs(300),
            require_nonce: true,
            replay_entries_max: 100_000,
        }
    }
}

/// Checks DPoP proofs and remembers them.
///
/// One verifier guards one server. It remembers proofs in this process only.
#[derive(Debug)]
pub struct Verifier {
    options: VerifierOptions,
    nonces: NonceIssuer,
    replays: Replays,
}

impl Verifier {
    /// A verifier with a nonce key of its own.
    #[must_use]
    pub fn new(options: VerifierOptions) -> Self {
        let nonces = NonceIssuer::new(options.nonce_lifetime);
        // A proof from as far in the future as allowed is acceptable for this long.
        let remembered = options.proof_age_max.saturating_add(options.future_skew);
        let replays = Replays::new(options.replay_entries_max, remembered);
        Self { options, nonces, replays }
    }

    /// A verifier that shares its nonces with others, for several processes that are one server. The
    /// issuer decides how long they are good.
    #[must_use]
    pub fn with_nonces(options: VerifierOptions, nonces: NonceIssuer) -> Self {
        Self { nonces, ..Self::new(options) }
    }

    /// The value for a `DPoP-Nonce` header. It changes several times within its life.
    #[must_use]
    pub fn nonce(&self, now: Timestamp) -> String {
        self.nonces.issue(now)
    }

    /// Makes every nonce that was issued so far invalid.
    pub fn rotate_nonces(&self) {
        self.nonces.rotate();
    }

    /// Checks the proof of one request: its form, key, signature, method, URI, time and nonce, the
    /// token and the key that the token is bound to, and that it was not used before. A proof is
    /// marked as used only if it passes all other checks.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, request: &ReceivedProof<'_>, now: Timestamp) -> Result<VerifiedProof, ProofError> {
        let verified = self.check(request, now)?;
        self.replays.insert(&verified.thumbprint, &verified.jti, now)?;
        Ok(verified)
    }

    /// Like [`Verifier::verify`], without the memory of used proofs, which is the caller's. Several
    /// processes that are one server need a common memory. It must refuse, atomically and until
    /// `acceptable_until`, a pair of `thumbprint` and `jti` that it has seen.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(&self, request: &ReceivedProof<'_>, now: Timestamp) -> Result<VerifiedProof, ProofError> {
        let proof = Proof::read(request.headers)?;
        self.check_request(&proof, request, now)?;
        check_token(&proof, request)?;
        let issued_at = Timestamp::from_unix_seconds(proof.claims.iat.0);
        // One second more, since `iat` has whole seconds only.
        let acceptable = self.options.proof_age_max.saturating_add(Duration::from_secs(1));
        Ok(VerifiedProof {
            thumbprint: proof.thumbprint,
            jti: proof.claims.jti,
            acceptable_until: issued_at.saturating_add(acceptable),
        })
    }

    fn check_request(
        &self,
        proof: &Proof,
        request: &ReceivedProof<'_>,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let claims = &proof.claims;
        if claims.htm != request.method.as_str() {
            return Err(ProofError::Method);
        }
        if !target_uri::is_same(&claims.htu, request.uri) {
            return Err(ProofError::Uri);
        }
        let issued_at = Timestamp::from_unix_seconds(claims.iat.0);
        if now.saturating_since(issued_at) > self.options.proof_age_max
            || issued_at.saturating_since(now) > self.options.future_skew
        {
            return Err(ProofError::IssuedAt);
        }
        match &claims.nonce {
            Some(nonce) if self.nonces.check(nonce, now) => Ok(()),
            None if !self.options.require_nonce => Ok(()),
            _ => Err(ProofError::NonceMissingOrOld),
        }
    }
}

fn check_token(proof: &Proof, request: &ReceivedProof<'_>) -> Result<(), ProofError> {
    if let Some(token) = request.access_token {
        let given = proof.claims.ath.as_deref().unwrap_or_default();
        if !bool::from(AccessTokenHash::of(token).as_str().as_bytes().ct_eq(given.as_bytes())) {
            return Err(ProofError::AccessTokenHash);
        }
    }
    match request.thumbprint {
        Some(expected) if expected != proof.thumbprint => Err(ProofError::Thumbprint),
        _ => Ok(()),
    }
}

/// A request with a proof, as the server knows it.
#[derive(Clone, Copy)]
pub struct ReceivedProof<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's external URI: scheme and host come from the server's configuration, never
    /// from the proof.
    pub uri: &'a Uri,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The token in the request; `None` at a token endpoint.
    pub access_token: Option<&'a str>,
    /// The key that the token is bound to, its `cnf.jkt`.
    pub thumbprint: Option<&'a str>,
}

impl fmt::Debug for ReceivedProof<'_> {
    /// Without the headers, which hold the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedProof")
            .field("method", self.method)
            .field("uri", &target_uri::of(self.uri))
            .field("access_token", &self.access_token.map(|_| "…"))
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// What a good proof stated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedProof {
    /// The thumbprint of its key (RFC 7638). A token that is issued now is bound to it (`cnf.jkt`).
    pub thumbprint: String,
    /// Its identifier.
    pub jti: String,
    /// After this time the proof is refused for its age.
    pub acceptable_until: Timestamp,
}
