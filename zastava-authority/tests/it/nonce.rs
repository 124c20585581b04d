//! The nonces of the verifier.

use std::time::Duration;

use serde_json::json;
use zastava_authority::verify::{NonceIssuer, ProofError, Verifier, VerifierOptions};
use zastava_core::clock::Timestamp;

use crate::draft::{Draft, later, now, verify_at};

#[test]
fn processes_that_share_a_key_take_each_others_nonces() {
    let verifier = |key| {
        let nonces = NonceIssuer::with_key([key; 32], Duration::from_secs(300));
        Verifier::with_nonces(VerifierOptions::default(), nonces)
    };
    let mut draft = Draft::new();
    draft.claims["nonce"] = json!(verifier(1).nonce(now()));
    verify_at(&verifier(1), &draft.sign(), now()).unwrap();
    assert_eq!(verify_at(&verifier(2), &draft.sign(), now()), Err(ProofError::NonceMissingOrOld));
}

#[test]
fn a_demanded_nonce_must_be_fresh_and_ours() {
    let verifier = Verifier::new(VerifierOptions::default());
    let proof = |nonce: Option<String>, now: Timestamp| {
        let mut draft = Draft::new();
        draft.claims["iat"] = json!(now.unix_seconds());
        if let Some(nonce) = nonce {
            draft.claims["nonce"] = json!(nonce);
        }
        draft.sign()
    };
    let nonce = verifier.nonce(now());
    let old = Err(ProofError::NonceMissingOrOld);
    assert_eq!(verify_at(&verifier, &proof(None, now()), now()), old);
    assert_eq!(verify_at(&verifier, &proof(Some(nonce.to_uppercase()), now()), now()), old);
    verify_at(&verifier, &proof(Some(nonce.clone()), now()), now()).unwrap();
    verify_at(&verifier, &proof(Some(nonce.clone()), later(269)), later(269)).unwrap();
    assert_eq!(verify_at(&verifier, &proof(Some(nonce.clone()), later(300)), later(300)), old);
    verifier.rotate_nonces();
    assert_eq!(verify_at(&verifier, &proof(Some(nonce), now()), now()), old);
    assert_eq!(ProofError::NonceMissingOrOld.oauth_code(), "use_dpop_nonce");
    assert_eq!(
        ProofError::Signature.challenge(),
        r#"DPoP error="invalid_dpop_proof", error_description="the proof's signature is wrong", algs="ES256""#
    );
}

#[test]
fn nonces_of_the_future_and_garbage_are_refused() {
    let issuer = NonceIssuer::new(Duration::from_secs(300));
    assert!(!issuer.check(&issuer.issue(later(60)), now()));
    for garbage in ["", "AAAA", "not base64!", &"A".repeat(10_000)] {
        assert!(!issuer.check(garbage, now()), "{garbage}");
    }
}
