//! Proofs: what the key signs and what the verifier refuses.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Uri};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use serde_json::{Value, json};
use zastava_authority::verify::{ProofError, ReceivedProof, TokenKey, Verifier, VerifierOptions};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::Timestamp;

use crate::draft::{Draft, headers, now, uri, verifier, verify_at};

const TOKEN: &str = "an-access-token";
/// SHA-256 of the token.
const TOKEN_HASH: &str = "YiHPD2T9DaX5B837XJXto32BKkT6ZcpVAT6si9f5KiY";

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
fn a_proof_states_the_path_as_the_request_wrote_it() {
    let key = DpopKey::generate();
    let uri = &"HTTPS://API.test:443/v1/./x/../events?page=1".parse().unwrap();
    let request =
        ProofRequest { method: &Method::POST, uri, access_token: None, nonce: None, issued_at: now() };
    let proof = key.proof(&request).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["htu"], "https://api.test/v1/./x/../events");
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
    let at = |edge: i64| now().unix_seconds() + edge;
    // A date is any JSON number: Python writes fractions, and some write an exponent.
    let fraction = at(-59) as f64 + 0.75;
    let exponent = serde_json::from_str::<Value>("1.8e9").unwrap();
    for iat in [json!(at(-60)), json!(at(10)), json!(fraction), json!(at(0) as f64), exponent] {
        let mut draft = Draft::new();
        draft.claims["iat"] = iat.clone();
        assert_eq!(verify_at(&verifier(), &draft.sign(), now()).err(), None, "{iat}");
    }
    for iat in [json!(at(-61) as f64 - 0.5), json!(at(11) as f64 + 0.5), json!(1e300), json!(-1e300)] {
        let mut draft = Draft::new();
        draft.claims["iat"] = iat.clone();
        let outcome = verify_at(&verifier(), &draft.sign(), now());
        assert_eq!(outcome, Err(ProofError::IssuedAt), "{iat}");
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
fn duplicate_claims_are_refused() {
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
