//! What is measured.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use huskarl::core::crypto::signer::AsymmetricJwsSignerSelector as _;
use huskarl::core::dpop::{ResourceDPoP, ResourceServerDPoP as _};
use huskarl::core::secrets::SecretString;
use huskarl_crypto_native::asymmetric::signer::{GenerateAlgorithm, PrivateKey};
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::EncodePrivateKey as _;
use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
use rustls::pki_types::PrivatePkcs8KeyDer;
use turbomcp_dpop::{DpopAlgorithm, DpopKeyManager, DpopProofGenerator};
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{
    Authority, Authorizer, DpopKey, OpTok, ProofRequest, TokenFuture, TokenSource, Tokens,
};
use zastava_core::clock::Timestamp;
use zastava_core::config::{Configuration, Origin};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zastava_core::telemetry::Telemetry;

use crate::alloc::{self, CANARY};

/// As long as the tokens of real servers, and as long as what a proof signs.
const TOKEN_BYTES: usize = 586;
const SIGNED_BYTES: usize = 480;
const URL: &str = "https://scanner.internal/api/v1/scanner/runtime/events";
const NONCE: &str = "AAAAAGkj8dQ1b7p7yG1hFJq0s5p1Zg2E";

pub struct Row {
    pub name: &'static str,
    /// The row of the bare signature by the same signer.
    pub reference: Option<usize>,
    pub call: Box<dyn FnMut()>,
}

fn row(name: &'static str, reference: Option<usize>, call: impl FnMut() + 'static) -> Row {
    Row { name, reference, call: Box::new(call) }
}

pub fn rows(runtime: &tokio::runtime::Runtime) -> Vec<Row> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("key.pem");
    std::fs::write(&path, DpopKey::generate_pem().expose()).expect("can be written");
    let by_p256 = Arc::new(DpopKey::from_file(&path).expect("a key"));
    let by_provider = Arc::new(DpopKey::from_file_by_tls_provider(&path).expect("a key"));

    vec![
        bare_p256(),
        bare_provider(),
        proof("zastava, proof (p256)", 0, &by_p256),
        proof("zastava, proof (aws-lc-rs)", 1, &by_provider),
        attach("zastava, token + proof + headers (p256)", 0, runtime, &by_p256),
        attach("zastava, token + proof + headers (aws-lc-rs)", 1, runtime, &by_provider),
        huskarl(),
        turbomcp(),
        bare_check(),
        verify(&by_provider),
    ]
}

fn bare_p256() -> Row {
    let (key, message) = (SigningKey::generate(), [b'm'; SIGNED_BYTES]);
    row("bare ES256 signature, p256 0.14", None, move || {
        let signature: Signature = key.sign(black_box(&message));
        black_box(signature);
    })
}

fn bare_provider() -> Row {
    let der = SecretKey::generate().to_pkcs8_der().expect("has a PKCS#8 form");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivatePkcs8KeyDer::from(der.as_bytes()).clone_key();
    let key = provider.key_provider.load_private_key(key.into()).expect("a key");
    let signer = key.choose_scheme(&[ECDSA_NISTP256_SHA256]).expect("knows ES256");
    let message = [b'm'; SIGNED_BYTES];
    row("bare ES256 signature, aws-lc-rs by rustls", None, move || {
        black_box(signer.sign(black_box(&message)).expect("it signs"));
    })
}

fn proof(name: &'static str, reference: usize, key: &Arc<DpopKey>) -> Row {
    let (key, token, uri) = (Arc::clone(key), "t".repeat(TOKEN_BYTES), Uri::from_static(URL));
    row(name, Some(reference), move || {
        let request = ProofRequest {
            method: &Method::POST,
            uri: &uri,
            access_token: Some(&token),
            nonce: Some(NONCE),
            issued_at: Timestamp::now(),
        };
        black_box(key.proof(black_box(&request)).expect("it signs"));
    })
}

/// The warm way of a request: the token that Authority keeps, a proof, both headers.
fn attach(
    name: &'static str,
    reference: usize,
    runtime: &tokio::runtime::Runtime,
    key: &Arc<DpopKey>,
) -> Row {
    let http = HttpService::new(tower::service_fn(|request: Request<Bytes>| async move {
        let token = "t".repeat(TOKEN_BYTES);
        let body = format!(r#"{{"access_token":"{token}","token_type":"DPoP","expires_in":86400}}"#);
        let found = request.uri().path() == "/token";
        let status = if found { 200 } else { 404 };
        Ok::<_, BoxError>(Response::builder().status(status).body(Bytes::from(body))?)
    }));
    let mut config = Configuration::empty();
    let flag = Origin::Flag("measure".into());
    config.set("zastava.issuer", "https://authority.internal", &flag);
    config.set("zastava.requireMutualTls", "false", &flag);
    let (options, _) = config.read(AuthorityOptions::read).expect("options");
    let authority = Authority::new(&options, http, Arc::clone(key), &Telemetry::detached());
    let tokens = Tokens::new(authority);
    runtime.block_on(tokens.token("scanner")).expect("a token");

    let api = Authorizer::new(tokens, "scanner", &Uri::from_static("https://scanner.internal"));
    let (mut parts, ()) = Request::post(URL).body(()).expect("a request").into_parts();
    // The first exchange brings a nonce.
    let mut first = api.begin();
    done(first.attach(&mut parts)).expect("attached");
    let answer =
        HeaderMap::from_iter([(HeaderName::from_static("dpop-nonce"), HeaderValue::from_static(NONCE))]);
    first.observe(http::StatusCode::OK, &answer);
    row(name, Some(reference), move || {
        let mut exchange = api.begin();
        done(exchange.attach(black_box(&mut parts))).expect("attached");
        black_box(&parts);
    })
}

fn huskarl() -> Row {
    let key = PrivateKey::generate(GenerateAlgorithm::Es256, None).expect("a key");
    let thumbprint = done(key.select_asymmetric_signer()).public_key_jwk().thumbprint();
    let dpop = ResourceDPoP::builder().signer(key).build();
    let (token, uri) = (SecretString::new("t".repeat(TOKEN_BYTES)), Uri::from_static(URL));
    dpop.update_nonce(&uri, NONCE.to_owned());
    row("huskarl 0.11, proof (p256)", Some(0), move || {
        let proof = done(dpop.proof(&Method::POST, &uri, black_box(&token), &thumbprint));
        black_box(proof.expect("it signs"));
    })
}

fn turbomcp() -> Row {
    let generator = done(DpopProofGenerator::new_simple()).expect("a generator");
    let keys = done(DpopKeyManager::new_memory()).expect("keys");
    let key = done(keys.generate_key_pair(DpopAlgorithm::ES256)).expect("a key");
    let token = "t".repeat(TOKEN_BYTES);
    row("turbomcp-dpop 3.6, proof (p256 0.13)", Some(0), move || {
        let (token, nonce) = (Some(token.as_str()), Some(NONCE));
        let proof = done(generator.generate_proof_with_params("POST", URL, token, nonce, Some(&key)));
        black_box(proof.expect("it signs").to_jwt_string());
    })
}

fn bare_check() -> Row {
    let (key, message) = (SigningKey::generate(), [b'm'; SIGNED_BYTES]);
    let signature: Signature = key.sign(&message);
    let (signature, point) = (signature.to_der(), key.verifying_key().to_sec1_point(false));
    let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) =
        known.iter().find(|(scheme, _)| *scheme == ECDSA_NISTP256_SHA256).expect("knows ES256");
    let algorithm = algorithms[0];
    row("bare ES256 check, aws-lc-rs by rustls", None, move || {
        let outcome = algorithm.verify_signature(point.as_bytes(), black_box(&message), signature.as_bytes());
        outcome.expect("a good signature");
    })
}

/// All checks of a resource server but for the memory of used proofs.
fn verify(key: &Arc<DpopKey>) -> Row {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let (verifier, key, uri) = (Verifier::new(options), Arc::clone(key), Uri::from_static(URL));
    let token = "t".repeat(TOKEN_BYTES);
    let now = Timestamp::now();
    let request = ProofRequest {
        method: &Method::POST,
        uri: &uri,
        access_token: Some(&token),
        nonce: None,
        issued_at: now,
    };
    let proof = HeaderValue::try_from(key.proof(&request).expect("it signs")).expect("ASCII");
    let headers = HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)]);
    row("zastava, proof checked by a server", Some(8), move || {
        let received = ReceivedProof {
            method: &Method::POST,
            uri: &uri,
            headers: &headers,
            access_token: Some(&token),
            thumbprint: Some(key.thumbprint()),
        };
        black_box(verifier.check(black_box(&received), now).expect("a good proof"));
    })
}

/// One token.
#[derive(Debug)]
struct One(Arc<OpTok>);

impl TokenSource for One {
    fn token<'a>(&'a self, _: &'a str) -> TokenFuture<'a> {
        let token = Arc::clone(&self.0);
        Box::pin(async { Ok(token) })
    }

    fn reject(&self, _: &OpTok) {}

    fn invalidate(&self, _: &str) -> usize {
        0
    }
}

/// A token's whole life: received, attached, dropped.
pub fn leaks() -> u64 {
    alloc::leaks(|| {
        // With room for all of it: a buffer that grows leaves copies behind.
        let mut secret = String::with_capacity(TOKEN_BYTES);
        secret.push_str(CANARY);
        secret.extend(std::iter::repeat_n('t', TOKEN_BYTES - CANARY.len()));
        let secret = Secret::new(secret);
        let key = Some(Arc::new(DpopKey::generate()));
        let token = OpTok::new(secret, "scanner", Timestamp::now(), 1, key).expect("a token");
        let api = Authorizer::new(Tokens::new(One(Arc::new(token))), "scanner", &Uri::from_static(URL));
        let (mut parts, ()) = Request::post(URL).body(()).expect("a request").into_parts();
        let mut exchange = api.begin();
        done(exchange.attach(&mut parts)).expect("attached");
        assert!(parts.headers["authorization"].to_str().is_ok_and(|text| text.contains(CANARY)));
    })
}

/// What needs no waiting.
fn done<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}
