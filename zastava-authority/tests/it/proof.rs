//! Proofs: what the key signs and what the verifier refuses.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, Uri};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use serde_json::{Value, json};
use zastava_authority::verify::{
    NonceIssuer, ProofError, ReceivedProof, TokenKey, Verifier, VerifierOptions,
};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::Timestamp;

const TOKEN: &str = "an-access-token";
/// SHA-256 of the token.
const TOKEN_HASH: &str = "YiHPD2T9DaX5B837XJXto32BKkT6ZcpVAT6si9f5KiY";

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

fn later(seconds: u64) -> Timestamp {
    now().saturating_add(Duration::from_secs(seconds))
}

fn uri() -> Uri {
    Uri::from_static("https://api.test/v1/events?page=2")
}

fn headers(proofs: &[&str]) -> HeaderMap {
    proofs.iter().map(|proof| ("dpop".parse().unwrap(), HeaderValue::from_str(proof).unwrap())).collect()
}

fn verify_at(verifier: &Verifier, proof: &str, now: Timestamp) -> Result<String, ProofError> {
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
fn verifier() -> Verifier {
    Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() })
}

/// A proof whose every part can be wrong.
struct Draft {
    key: SigningKey,
    header: Value,
    claims: Value,
}

impl Draft {
    fn new() -> Self {
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

    fn sign(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

#[test]
fn the_standards_own_examples_pass() {
    const HEADER: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
    const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    // RFC 9449 section 4.1.
    let proof = format!(
        "{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    );
    let received = ReceivedProof {
        method: &Method::POST,
        uri: &Uri::from_static("https://server.example.com/token"),
        headers: &headers(&[&proof]),
        access_token: None,
        thumbprint: Some(THUMBPRINT),
    };
    let verified = verifier().verify(&received, Timestamp::from_unix_seconds(1_562_262_616)).unwrap();
    assert_eq!((verified.thumbprint.as_str(), verified.jti.as_str()), (THUMBPRINT, "-BwC3ESc6acc2lTc"));

    // RFC 9449 section 7.1.
    let proof = format!(
        "{HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    );
    let received = ReceivedProof {
        method: &Method::GET,
        uri: &Uri::from_static("https://resource.example.org/protectedresource"),
        headers: &headers(&[&proof]),
        access_token: Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
        thumbprint: Some(THUMBPRINT),
    };
    verifier().verify(&received, Timestamp::from_unix_seconds(1_562_262_618)).unwrap();
}

#[test]
fn our_own_proofs_pass_with_token_and_nonce() {
    let (key, verifier) = (DpopKey::generate(), Verifier::new(VerifierOptions::default()));
    let nonce = verifier.nonce(now());
    let (method, uri) = (&Method::POST, &uri());
    let proof = key
        .proof(&ProofRequest {
            method,
            uri,
            access_token: Some(TOKEN),
            nonce: Some(&nonce),
            issued_at: now(),
        })
        .unwrap();
    let received = ReceivedProof {
        method,
        uri,
        headers: &headers(&[&proof]),
        access_token: Some(TOKEN),
        thumbprint: Some(key.thumbprint()),
    };
    assert_eq!(verifier.verify(&received, now()).unwrap().thumbprint, key.thumbprint());
}

#[test]
fn the_target_uri_is_normal_whatever_the_request_wrote() {
    let key = DpopKey::generate();
    let uri = &"HTTPS://API.test:443/v1/./x/../events?page=1".parse().unwrap();
    let request =
        ProofRequest { method: &Method::POST, uri, access_token: None, nonce: None, issued_at: now() };
    let proof = key.proof(&request).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["htu"], "https://api.test/v1/events");
    verify_at(&verifier(), &proof, now()).unwrap();
}

#[test]
fn no_two_proofs_are_equal() {
    let key = DpopKey::generate();
    let uri = &uri();
    let request =
        ProofRequest { method: &Method::GET, uri, access_token: None, nonce: None, issued_at: now() };
    let proofs: HashSet<_> = (0..1000).map(|_| key.proof(&request).unwrap()).collect();
    assert_eq!(proofs.len(), 1000);
}

/// Changes one thing in a good proof; the good one passes with everything else the same.
fn refused(change: impl FnOnce(&mut Draft), expected: ProofError) {
    let mut draft = Draft::new();
    assert_eq!(verify_at(&verifier(), &draft.sign(), now()).err(), None);
    change(&mut draft);
    assert_eq!(
        verify_at(&verifier(), &draft.sign(), now()),
        Err(expected),
        "{} {}",
        draft.header,
        draft.claims
    );
}

fn header_refused(member: &str, value: Value, expected: ProofError) {
    refused(|draft| draft.header[member] = value, expected);
}

fn key_refused(member: &str, value: Value) {
    refused(|draft| draft.header["jwk"][member] = value, ProofError::Key);
}

fn claim_refused(claim: &str, value: Value, expected: ProofError) {
    refused(|draft| draft.claims[claim] = value, expected);
}

#[test]
fn every_fault_in_the_header_is_refused() {
    header_refused("typ", json!("jwt"), ProofError::Type);
    header_refused("typ", json!("DPOP+JWT"), ProofError::Type);
    header_refused("alg", json!("none"), ProofError::Algorithm);
    header_refused("alg", json!("HS256"), ProofError::Algorithm);
    header_refused("alg", json!("ES384"), ProofError::Algorithm);
    header_refused("crit", json!(["exp"]), ProofError::Malformed);
    header_refused("crit", json!(null), ProofError::Malformed);
    header_refused("jwk", json!("key"), ProofError::Malformed);
    header_refused("jku", json!("https://evil.test/keys"), ProofError::Key);
    header_refused("x5u", json!("https://evil.test/certificate"), ProofError::Key);
    for member in ["typ", "alg", "jwk"] {
        let expected = match member {
            "typ" => ProofError::Type,
            "alg" => ProofError::Algorithm,
            _ => ProofError::Malformed,
        };
        refused(|draft| drop(draft.header.as_object_mut().unwrap().remove(member)), expected);
    }
}

#[test]
fn every_fault_in_the_key_is_refused() {
    for private in ["d", "k", "p", "q", "dp", "dq", "qi", "oth", "x5u", "x5c", "jku"] {
        key_refused(private, json!("AQAB"));
        key_refused(private, json!(null));
    }
    key_refused("kty", json!("RSA"));
    key_refused("crv", json!("P-384"));
    key_refused("alg", json!("HS256"));
    key_refused("x", json!("AQAB"));
    key_refused("x", json!(URL_SAFE_NO_PAD.encode([1; 32])));
    key_refused("y", json!(URL_SAFE_NO_PAD.encode([0; 32]) + "="));
    refused(|draft| draft.key = SigningKey::generate(), ProofError::Signature);
}

#[test]
fn every_fault_in_the_claims_is_refused() {
    for claim in ["jti", "htm", "htu", "iat"] {
        refused(|draft| drop(draft.claims.as_object_mut().unwrap().remove(claim)), ProofError::Malformed);
        claim_refused(claim, json!(null), ProofError::Malformed);
        claim_refused(claim, json!(["POST"]), ProofError::Malformed);
    }
    claim_refused("jti", json!(""), ProofError::Malformed);
    claim_refused("htm", json!("GET"), ProofError::Method);
    claim_refused("htm", json!("post"), ProofError::Method);
    for other in [
        "https://api.test/v1/events/",
        "https://api.test/v1//events",
        "https://api.test/V1/events",
        "https://api.test:8443/v1/events",
        "http://api.test/v1/events",
        "https://api.test.evil/v1/events",
        "https://u@api.test/v1/events",
        "/v1/events",
        "",
    ] {
        claim_refused("htu", json!(other), ProofError::Uri);
    }
    claim_refused("iat", json!(now().unix_seconds() - 61), ProofError::IssuedAt);
    claim_refused("iat", json!(now().unix_seconds() + 11), ProofError::IssuedAt);
    claim_refused("iat", json!(i64::MAX), ProofError::IssuedAt);
    claim_refused("iat", json!(i64::MIN), ProofError::IssuedAt);
    claim_refused("iat", json!("1800000000"), ProofError::Malformed);
    claim_refused("nonce", json!("made-up"), ProofError::NonceMissingOrOld);
}

#[test]
fn the_edges_of_the_window_pass() {
    for edge in [-60, 10] {
        let mut draft = Draft::new();
        draft.claims["iat"] = json!(now().unix_seconds() + edge);
        assert_eq!(verify_at(&verifier(), &draft.sign(), now()).err(), None, "{edge}");
    }
}

#[test]
fn the_header_field_must_be_one_good_proof() {
    let good = Draft::new().sign();
    let verify = |proofs: &[&str]| {
        let headers = headers(proofs);
        let (method, uri) = (&Method::POST, &uri());
        let received = ReceivedProof { method, uri, headers: &headers, access_token: None, thumbprint: None };
        verifier().verify(&received, now()).err()
    };
    assert_eq!(verify(&[&good]), None);
    assert_eq!(verify(&[]), Some(ProofError::Missing));
    assert_eq!(verify(&[&good, &good]), Some(ProofError::Multiple));
    let long = format!("{good}{}", "A".repeat(8192));
    for malformed in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30.e30", &good[1..], &format!("{good}="), &long]
    {
        assert_eq!(verify(&[malformed]), Some(ProofError::Malformed), "{malformed}");
    }
    assert_eq!(verify(&[&good[..good.len() - 2]]), Some(ProofError::Signature));
}

#[test]
fn the_token_and_its_key_must_be_the_proofs() {
    let draft = |hash: Option<&str>| {
        let mut draft = Draft::new();
        if let Some(hash) = hash {
            draft.claims["ath"] = json!(hash);
        }
        draft.sign()
    };
    let verify = |proof: &str, thumbprint: Option<&str>| {
        let (method, uri, headers) = (&Method::POST, &uri(), &headers(&[proof]));
        let received = ReceivedProof { method, uri, headers, access_token: Some(TOKEN), thumbprint };
        verifier().verify(&received, now()).err()
    };
    assert_eq!(verify(&draft(Some(TOKEN_HASH)), None), None);
    assert_eq!(verify(&draft(None), None), Some(ProofError::AccessTokenHash));
    assert_eq!(verify(&draft(Some("")), None), Some(ProofError::AccessTokenHash));
    assert_eq!(verify(&draft(Some(&TOKEN_HASH[1..])), None), Some(ProofError::AccessTokenHash));
    let other = DpopKey::generate();
    assert_eq!(verify(&draft(Some(TOKEN_HASH)), Some(other.thumbprint())), Some(ProofError::Thumbprint));
}

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
fn whoever_remembers_proofs_elsewhere_is_told_for_how_long() {
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
fn a_claim_that_stands_there_twice_is_refused() {
    let good = Draft::new();
    let twice = |json: String| json.replacen('{', r#"{"jti":"two","typ":"dpop+jwt","#, 1);
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    for (header, claims) in [
        (twice(good.header.to_string()), good.claims.to_string()),
        (good.header.to_string(), twice(good.claims.to_string())),
    ] {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = good.key.sign(signed.as_bytes());
        let proof = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        assert_eq!(verify_at(&verifier(), &proof, now()), Err(ProofError::Malformed));
    }
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
fn of_those_who_send_one_proof_at_once_one_is_served() {
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

#[test]
fn tokens_are_read_back_by_their_own_key_only() {
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let claims = json!({"aud": "scanner", "cnf": {"jkt": "x"}}).as_object().unwrap().clone();
    let token = key.sign(&claims);
    assert_eq!(key.verify(&token), Some(claims));
    assert_eq!(other.verify(&token), None);
    assert_eq!(key.verify(&token[..token.len() - 1]), None);
    assert_eq!(key.verify(""), None);
    assert_eq!(key.jwk()["kty"], "EC");
    assert_eq!(key.jwk().get("d"), None);
}
