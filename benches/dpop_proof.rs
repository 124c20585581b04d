//! A proof for one attempt of a request, and its check at the server.
//!
//! Nearly all of both is the ES256 signature.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::Timestamp;

/// As long as the tokens of real servers.
const TOKEN_BYTES: usize = 586;

fn proofs(c: &mut Criterion) {
    let (key, now) = (DpopKey::generate(), Timestamp::now());
    let verifier =
        Verifier::new(VerifierOptions { replay_entries_max: 10_000_000, ..VerifierOptions::default() });
    let (token, nonce) = ("t".repeat(TOKEN_BYTES), verifier.nonce(now));
    let (method, uri) =
        (&Method::POST, &Uri::from_static("https://scanner.internal/api/v1/scanner/runtime/events"));
    let request =
        ProofRequest { method, uri, access_token: Some(&token), nonce: Some(&nonce), issued_at: now };

    let mut group = c.benchmark_group("dpop_proof");
    group.bench_function("proof: token and nonce", |b| b.iter(|| key.proof(black_box(&request))));
    let headers = || {
        let proof =
            HeaderValue::try_from(key.proof(&request).expect("the key signs")).expect("a proof is ASCII");
        HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)])
    };
    group.bench_function("verify: token, key and nonce", |b| {
        // Each proof passes once.
        let verify = |headers: HeaderMap| {
            let received = ReceivedProof {
                method,
                uri,
                headers: &headers,
                access_token: Some(&token),
                thumbprint: Some(key.thumbprint()),
            };
            verifier.verify(&received, now).expect("the proof is good")
        };
        b.iter_batched(headers, verify, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, proofs);
criterion_main!(benches);
