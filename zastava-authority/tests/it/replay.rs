//! A proof is good once.

use std::collections::HashSet;

use http::Method;
use serde_json::json;
use zastava_authority::DpopKey;
use zastava_authority::verify::{ProofError, ReceivedProof, Verifier, VerifierOptions};
use zastava_core::clock::Timestamp;

use crate::draft::{Draft, headers, later, now, uri, verifier, verify_at};

#[test]
fn a_proof_is_good_once_and_only_for_its_own_key() {
    let verifier = verifier();
    let proof = Draft::new().sign();
    verify_at(&verifier, &proof, now()).unwrap();
    assert_eq!(verify_at(&verifier, &proof, now()), Err(ProofError::Replayed));
    assert_eq!(verify_at(&verifier, &proof, later(60)), Err(ProofError::Replayed));
    assert_eq!(verify_at(&verifier, &proof, later(61)), Err(ProofError::IssuedAt));
    // Another client may use the same identifier.
    verify_at(&verifier, &Draft::new().sign(), now()).unwrap();
}

#[test]
fn a_proof_of_the_future_is_remembered_as_long_as_it_is_acceptable() {
    let verifier = verifier();
    let mut draft = Draft::new();
    draft.claims["iat"] = json!(now().unix_seconds() + 10);
    let proof = draft.sign();
    verify_at(&verifier, &proof, now()).unwrap();
    assert_eq!(verify_at(&verifier, &proof, later(70)), Err(ProofError::Replayed));
    assert_eq!(verify_at(&verifier, &proof, later(71)), Err(ProofError::IssuedAt));
}

#[test]
fn check_says_how_long_a_proof_must_be_remembered() {
    let verifier = verifier();
    let proof = Draft::new().sign();
    let (method, uri, headers) = (&Method::POST, &uri(), &headers(&[&proof]));
    let received = ReceivedProof { method, uri, headers, access_token: None, thumbprint: None };
    for _ in 0..2 {
        let verified = verifier.check(&received, now()).unwrap();
        assert_eq!((verified.jti.as_str(), verified.acceptable_until), ("one", later(61)));
    }
    assert_eq!(verifier.check(&received, later(61)), Err(ProofError::IssuedAt));
}

#[test]
fn a_refused_proof_is_not_used_up() {
    let verifier = verifier();
    let proof = Draft::new().sign();
    assert_eq!(verify_at(&verifier, &proof, later(100)), Err(ProofError::IssuedAt));
    verify_at(&verifier, &proof, now()).unwrap();
}

#[test]
fn a_full_memory_refuses_until_proofs_age() {
    let options =
        VerifierOptions { require_nonce: false, replay_entries_max: 16, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    let mut outcomes = HashSet::new();
    for number in 0..64 {
        let mut draft = Draft::new();
        draft.claims["jti"] = json!(number.to_string());
        outcomes.insert(verify_at(&verifier, &draft.sign(), now()).err());
    }
    assert_eq!(outcomes, HashSet::from([None, Some(ProofError::Busy)]));
    // That is no fault of the client's.
    assert_eq!(
        (ProofError::Busy.status(), ProofError::Replayed.status()),
        (503.try_into().unwrap(), 401.try_into().unwrap())
    );
    let mut draft = Draft::new();
    draft.claims["iat"] = json!(later(100).unix_seconds());
    verify_at(&verifier, &draft.sign(), later(100)).unwrap();
}

#[test]
fn a_proof_is_good_once_also_when_the_clock_is_set_back_a_little() {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    let proof = Draft::new().sign();
    verify_at(&verifier, &proof, later(2)).unwrap();
    for back in [1, 0] {
        assert_eq!(verify_at(&verifier, &proof, later(back)), Err(ProofError::Replayed));
    }
}

/// Each looks at the clock before it waits for its turn, so times come in any order.
#[test]
fn one_of_many_concurrent_uses_of_a_proof_is_served() {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    for _ in 0..300 {
        let mut draft = Draft::new();
        draft.claims["iat"] = json!(Timestamp::now().unix_seconds());
        draft.claims["jti"] = json!(DpopKey::generate().thumbprint());
        let proof = draft.sign();
        let taken = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| verify_at(&verifier, &proof, Timestamp::now()).is_ok()))
                .collect();
            racers.into_iter().map(|racer| usize::from(racer.join().unwrap())).sum::<usize>()
        });
        assert_eq!(taken, 1);
    }
}

/// A clock that was wrong by a day for a moment must not leave the memory full for a day.
#[test]
fn proofs_of_a_clock_that_was_set_back_are_forgotten() {
    let options =
        VerifierOptions { require_nonce: false, replay_entries_max: 16, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    let at = |number: u32, time: Timestamp| {
        let mut draft = Draft::new();
        draft.claims["jti"] = json!(number.to_string());
        draft.claims["iat"] = json!(time.unix_seconds());
        verify_at(&verifier, &draft.sign(), time)
    };
    let filled = (0..64).map(|number| at(number, later(86_400))).filter(|outcome| outcome.is_err()).count();
    assert!(filled > 0);
    // No more in each part than that has room for: only what was there before stands in the way.
    assert_eq!(at(100, now()).err(), None);
}
