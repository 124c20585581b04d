//! A proof for one attempt of a request, and its check at the server.
//!
//! Nearly all of both is the ES256 signature, which is the reference.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_benches::{ProcessorTime, criterion};
use zastava_core::clock::Timestamp;

/// As long as the tokens of real servers.
const TOKEN_BYTES: usize = 586;
/// As long as what a proof signs.
const SIGNED_BYTES: usize = 480;

fn signatures(c: &mut Criterion<ProcessorTime>) {
    let (key, message) = (SigningKey::generate(), [b'm'; SIGNED_BYTES]);
    let signature: Signature = key.sign(&message);
    let (signature, point) = (signature.to_der(), key.verifying_key().to_sec1_point(false));
    let schemes = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) =
        schemes.iter().find(|(scheme, _)| *scheme == ECDSA_NISTP256_SHA256).expect("the provider has ES256");

    let mut group = c.benchmark_group("dpop_proof");
    group.bench_function("reference: signature", |b| {
        b.iter(|| -> Signature { key.sign(black_box(&message)) });
    });
    group.bench_function("reference: check of a signature", |b| {
        b.iter(|| {
            algorithms[0].verify_signature(point.as_bytes(), black_box(&message), signature.as_bytes())
        });
    });
    group.finish();
}

fn proofs(c: &mut Criterion<ProcessorTime>) {
    let (key, now) = (DpopKey::generate(), Timestamp::now());
    let verifier =
        Verifier::new(VerifierOptions { replay_entries_max: 10_000_000, ..VerifierOptions::default() });
    let (token, nonce) = ("t".repeat(TOKEN_BYTES), verifier.nonce(now));
    let (method, uri) =
        (&Method::POST, &Uri::from_static("https://scanner.internal/api/v1/scanner/runtime/events"));
    let request =
        ProofRequest { method, uri, access_token: Some(&token), nonce: Some(&nonce), issued_at: now };

    let mut group = c.benchmark_group("dpop_proof");
    group.bench_function("proof", |b| b.iter(|| key.proof(black_box(&request))));
    let headers = || {
        let proof =
            HeaderValue::try_from(key.proof(&request).expect("the key signs")).expect("a proof is ASCII");
        HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)])
    };
    group.bench_function("verify", |b| {
        // The verifier accepts each proof once.
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

criterion_group!(name = benches; config = criterion(); targets = signatures, proofs);
criterion_main!(benches);
