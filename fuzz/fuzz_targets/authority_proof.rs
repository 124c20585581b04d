//! Proofs from foreign bytes: no panic, and nothing passes that was not signed; proofs of our own
//! for foreign URIs and nonces pass whatever those are.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;
use zastava_authority::verify::{ProofError, ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::Timestamp;

static KEY: LazyLock<DpopKey> = LazyLock::new(DpopKey::generate);

fuzz_target!(|data: &[u8]| {
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    let now = Timestamp::from_unix_seconds(1_562_262_616);
    let uri = Uri::from_static("https://server.example.com/token");
    let verify = |headers: &HeaderMap, uri: &Uri| {
        let received =
            ReceivedProof { method: &Method::POST, uri, headers, access_token: None, thumbprint: None };
        verifier.verify(&received, now)
    };

    // One header field a line.
    let values = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = values.map(|value| (HeaderName::from_static("dpop"), value)).collect();
    if verify(&headers, &uri).is_ok() {
        assert_eq!(headers.len(), 1, "two proofs are none");
        assert!(matches!(verify(&headers, &uri), Err(ProofError::Replayed)));
    }

    let Ok(uri) = Uri::try_from(data) else { return };
    let nonce = verifier.nonce(now);
    let about = ProofRequest {
        method: &Method::POST,
        uri: &uri,
        access_token: None,
        nonce: Some(&nonce),
        issued_at: now,
    };
    let proof = HeaderValue::try_from(KEY.proof(&about).expect("it signs")).expect("a proof is ASCII");
    let headers = HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)]);
    // A URI that is no target (a user, a broken triplet, no host) is refused, for that reason only.
    let outcome = verify(&headers, &uri);
    assert!(matches!(outcome, Ok(_) | Err(ProofError::Uri | ProofError::Malformed)), "{uri}: {outcome:?}");
});
