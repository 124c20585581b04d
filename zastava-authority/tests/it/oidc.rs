//! Against `oidc-provider`, a certified server, and `oauth4webapi` as the resource server.
//!
//! Needs Node 20 and `npm ci` in `tests/oidc-provider`; says `SKIP:` without.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Uri};
use p256::SecretKey;
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{Authority, AuthorizeLayer, Error, Tokens, TransportOptions};
use zastava_core::clock::Timestamp;
use zastava_core::http_service::HttpService;
use zastava_core::telemetry::Telemetry;

use crate::support::{Answer, Pki, options};

const SECRET: &str = "a secret of the client";

/// Both servers, in one Node process that ends with this.
struct Provider {
    pki: Pki,
    node: Child,
    lines: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    issuer: String,
    resource: String,
}

impl Provider {
    /// `None` where Node or its modules are missing.
    fn start(extra: Value) -> Option<Self> {
        static SKIPPED: Once = Once::new();
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc-provider");
        if !has_node() || !dir.join("node_modules").is_dir() {
            SKIPPED.call_once(|| {
                let needs = "needs Node 20 and `npm ci` in zastava-authority/tests/oidc-provider";
                // Not `eprintln`: the harness would keep it to itself.
                let _ = writeln!(std::io::stderr(), "SKIP: oidc-provider: {needs}");
            });
            return None;
        }
        let pki = Pki::new();
        let path = |name: &str| pki.dir.path().join(name);
        pki.server("localhost");
        pki.client("client.test");
        let self_signed = self_signed(&path("self-signed.pem"), &path("self-signed-key.pem"));
        let assertion = SecretKey::generate();
        std::fs::write(path("assertion.pem"), assertion.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes())
            .unwrap();
        std::fs::write(path("secret"), SECRET).unwrap();
        let mut setup = json!({
            "ca": pki.bundle(),
            "certificate": path("server-chain.pem"),
            "key": path("server-key.pem"),
            "secret": SECRET,
            "selfSigned": self_signed,
            "assertionKey": public_jwk(assertion.public_key().to_sec1_point(false).as_bytes()),
        });
        setup.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());

        let mut node = Command::new("node")
            .args(["--no-warnings", "server.mjs"])
            .current_dir(dir)
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = (node.stdin.take().unwrap(), BufReader::new(node.stdout.take().unwrap()));
        let mut provider =
            Self { pki, node, lines: Mutex::new(lines), issuer: String::new(), resource: String::new() };
        let ready = provider.say(&setup);
        provider.issuer = ready["issuer"].as_str().unwrap().to_owned();
        provider.resource = ready["resource"].as_str().unwrap().to_owned();
        Some(provider)
    }

    /// Sends a line and reads one.
    fn say(&self, line: &Value) -> Value {
        let (input, output) = &mut *self.lines.lock().unwrap();
        writeln!(input, "{line}").unwrap();
        // oidc-provider writes its own remarks there, too.
        for line in output.lines() {
            if let Ok(answer) = serde_json::from_str(&line.unwrap()) {
                return answer;
            }
        }
        panic!("the server ended");
    }

    fn count(&self, what: &str) -> u64 {
        self.say(&json!({"do": "counts"}))[what].as_u64().unwrap()
    }

    fn faults(&self, list: Value) {
        self.say(&json!({"do": "faults", "list": list}));
    }

    fn authority(&self, client: &str, settings: &[(&str, &str)]) -> Authority {
        let path = |name: &str| self.pki.dir.path().join(name).to_str().unwrap().to_owned();
        let (ca, secret, assertion) = (path("ca.pem"), path("secret"), path("assertion.pem"));
        let (chain, key) = (path("client-chain.pem"), path("client-key.pem"));
        let (own_chain, own_key) = (path("self-signed.pem"), path("self-signed-key.pem"));
        let mut all = HashMap::from([
            ("issuer", self.issuer.as_str()),
            ("clientId", client),
            ("audience", &self.resource),
            ("scopes", "events.write"),
            ("caBundlePath", &ca),
            (
                "requireDpop",
                if matches!(client, "pki" | "self-signed" | "bearer") { "false" } else { "true" },
            ),
        ]);
        all.extend(match client {
            "secret" | "bearer" => vec![("clientSecretPath", secret.as_str())],
            "assertion" => vec![("clientAssertionKeyPath", assertion.as_str())],
            "self-signed" => vec![("clientCertificatePath", own_chain.as_str()), ("clientKeyPath", &own_key)],
            _ => vec![("clientCertificatePath", chain.as_str()), ("clientKeyPath", &key)],
        });
        all.extend(settings.iter().copied());
        let all: Vec<_> = all.into_iter().collect();
        Authority::connect(&options(&all), &Telemetry::detached()).unwrap()
    }

    /// A client of the API.
    fn api(&self, authority: &Authority) -> HttpService {
        let transport =
            TransportOptions { ca_bundle_path: Some(self.pki.bundle()), ..TransportOptions::default() };
        let http = authority.https(&transport).unwrap();
        let origin: Uri = self.resource.parse().unwrap();
        let layer = AuthorizeLayer::new(Tokens::new(authority.clone()), &self.resource, &origin);
        HttpService::new(layer.layer(http))
    }

    async fn call(&self, api: &HttpService) -> Answer {
        let request = Request::post(format!("{}/events?x=1", self.resource)).body(Bytes::new()).unwrap();
        api.clone().oneshot(request).await.unwrap()
    }

    /// Why there is no token.
    async fn failure(&self, authority: &Authority) -> Error {
        let tokens = Tokens::new(authority.clone());
        match tokens.token(&self.resource).await.unwrap_err() {
            Error::Unavailable { last, .. } => Error::clone(&last),
            other => other,
        }
    }
}

fn has_node() -> bool {
    let Ok(asked) = Command::new("node").arg("--version").output() else { return false };
    let version = String::from_utf8_lossy(&asked.stdout);
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= 20)
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn public_jwk(point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
}

/// Writes a certificate that nobody vouches for; returns how it is registered.
fn self_signed(chain: &Path, key: &Path) -> Value {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["own.test".to_owned()]).unwrap().self_signed(&pair).unwrap();
    std::fs::write(chain, certificate.pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    let mut jwk = public_jwk(pair.public_key_raw());
    jwk["x5c"] = json!([STANDARD.encode(certificate.der())]);
    jwk
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_authentication_gets_a_token_that_the_api_takes() {
    let Some(provider) = Provider::start(json!({})) else { return };
    // The client, what its token is bound to, and the requests that it takes: Authority demands a
    // nonce of every first proof, and takes an assertion once.
    let rows = [
        ("secret", Some("jkt"), 2),
        ("assertion", Some("jkt"), 2),
        ("pki-dpop", Some("jkt"), 2),
        ("pki", Some("x5t#S256"), 1),
        ("self-signed", Some("x5t#S256"), 1),
        ("bearer", None, 1),
    ];
    for (client, binding, requests) in rows {
        let before = provider.count("token");
        let authority = provider.authority(client, &[]);
        let answer = provider.call(&provider.api(&authority)).await;
        assert_eq!(answer.status(), 200, "{client}: {:?}", answer.body());
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!((&body["client"], &body["scope"]), (&json!(client), &json!("events.write")));
        let token = Tokens::new(authority).token(&provider.resource).await.unwrap();
        let expected = match binding {
            Some("jkt") => json!({"jkt": token.thumbprint().unwrap()}),
            Some(x5t) => json!({x5t: token.certificate_thumbprint().unwrap()}),
            None => Value::Null,
        };
        assert_eq!(body["cnf"], expected, "{client}");
        assert_eq!(provider.count("token") - before, requests, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_authority_refuses_is_told_by_its_code() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let wrong = provider.pki.dir.path().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let wrong = wrong.to_str().unwrap();
    let key = provider.pki.dir.path().join("other-key.pem");
    std::fs::write(&key, zastava_authority::DpopKey::generate_pem().expose()).unwrap();
    let key = key.to_str().unwrap();
    let own = |name: &str| provider.pki.dir.path().join(name).to_str().unwrap().to_owned();
    let (own_chain, own_key) = (own("self-signed.pem"), own("self-signed-key.pem"));
    let rows = [
        ("secret", vec![("clientSecretPath", wrong)], "invalid_client"),
        ("nobody", vec![], "invalid_client"),
        ("assertion", vec![("clientAssertionKeyPath", key)], "invalid_client"),
        // A certificate of nobody, where one of the authority's is registered.
        (
            "pki",
            vec![("clientCertificatePath", own_chain.as_str()), ("clientKeyPath", &own_key)],
            "invalid_client",
        ),
        // No proof where one is required.
        ("secret", vec![("requireDpop", "false")], "invalid_grant"),
        // Bound to a key and a certificate at the same time.
        ("pki", vec![("requireDpop", "true")], "invalid_request"),
    ];
    for (client, settings, expected) in rows {
        let error = provider.failure(&provider.authority(client, &settings)).await;
        assert_eq!(error.oauth_code(), Some(expected), "{client} {settings:?}: {error:?}");
    }
    let tokens = Tokens::new(provider.authority("secret", &[]));
    let error = tokens.token("https://elsewhere.test/").await.unwrap_err();
    assert_eq!(error.oauth_code(), Some("invalid_target"));
    let issuer = format!("{}/", provider.issuer.replace("localhost", "LOCALHOST"));
    let error = provider.failure(&provider.authority("secret", &[("issuer", &issuer)])).await;
    assert!(matches!(error, Error::Issuer { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_authority_are_told_apart_and_pass() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("bearer", &[("requestTimeoutSeconds", "1")]);
    let tokens = Tokens::new(authority.clone());
    let rows = [
        (json!({"status": 503}), "authority answered 503 Service Unavailable"),
        (
            json!({"status": 200, "body": "<html>", "headers": {"content-type": "text/html"}}),
            "authority's answer is malformed: no token in its answer",
        ),
        (json!({"delayMs": 3000}), "no answer within 1s"),
        (
            json!({"replace": {"token_type": "DPoP"}}),
            "authority issued a token of type \"DPoP\" where Bearer is required",
        ),
    ];
    for (fault, expected) in rows {
        provider.faults(json!([fault]));
        // Asks at once, whatever failed before.
        tokens.invalidate(&provider.resource);
        assert_eq!(provider.failure(&authority).await.to_string(), expected);
    }
    provider.faults(json!([{"status": 429, "headers": {"retry-after": "40"}}]));
    tokens.invalidate(&provider.resource);
    let error = provider.failure(&authority).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));

    provider.faults(json!([{"remove": "expires_in"}]));
    tokens.invalidate(&provider.resource);
    let token = tokens.token(&provider.resource).await.unwrap();
    let life = token.expires_at().saturating_since(Timestamp::now());
    assert!(life > Duration::from_secs(110) && life <= Duration::from_secs(120), "{life:?}");

    // The answer to the second request, which has the nonce, is what is changed.
    provider.faults(json!([{}, {"replace": {"token_type": "Bearer"}}]));
    let error = provider.failure(&provider.authority("secret", &[])).await;
    assert!(matches!(&error, Error::TokenType { expected: "DPoP", found } if found == "Bearer"), "{error:?}");
}

/// A nonce is good for a tenth to a fifth of a second, so the machine must have nothing else to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the machine for itself: `cargo test -p stellaops-zastava-authority --all-features -- --ignored`"]
async fn nonces_that_rotate_each_100_ms_lose_no_request_of_500() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("secret", &[]);
    let api = provider.api(&authority);
    provider.say(&json!({"do": "rotate", "everyMs": 100}));
    let mut callers = JoinSet::new();
    let provider = Arc::new(provider);
    for _ in 0..50 {
        let (provider, api) = (Arc::clone(&provider), api.clone());
        callers.spawn(async move {
            let mut failed = 0;
            for _ in 0..10 {
                failed += u32::from(provider.call(&api).await.status() != 200);
            }
            failed
        });
    }
    let failed: u32 = callers.join_all().await.into_iter().sum();
    println!("500 requests, {} of them challenged, {failed} failed", provider.count("challenged"));
    assert_eq!(failed, 0);
    assert_eq!(provider.count("token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cold_callers_learn_the_nonce_from_one_request() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let api = provider.api(&provider.authority("secret", &[]));
    let provider = Arc::new(provider);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (provider, api) = (Arc::clone(&provider), api.clone());
        callers.spawn(async move { provider.call(&api).await.status() });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == 200));
    assert_eq!((provider.count("api"), provider.count("token")), (101, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_that_authority_forgot_cost_one_request() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let tokens = Tokens::new(provider.authority("assertion", &[]));
    tokens.token(&provider.resource).await.unwrap();
    provider.say(&json!({"do": "newNonceSecret"}));
    let before = provider.count("token");
    tokens.invalidate(&provider.resource);
    tokens.token(&provider.resource).await.unwrap();
    assert_eq!(provider.count("token") - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_of_another_library_are_taken() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let verifier = Verifier::new(VerifierOptions::default());
    let now = Timestamp::now();
    let (htu, token) = ("https://api.test/v1/events", "a-token");
    let made = provider.say(&json!({
        "do": "proof", "htu": htu, "htm": "POST", "nonce": verifier.nonce(now), "accessToken": token,
    }));
    let proof = made["proof"].as_str().unwrap().parse().unwrap();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)]);
    let received = ReceivedProof {
        method: &Method::POST,
        uri: &htu.parse().unwrap(),
        headers: &headers,
        access_token: Some(token),
        thumbprint: made["jkt"].as_str(),
    };
    verifier.verify(&received, Timestamp::now()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_takes_over_under_load_without_a_failure() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("pki", &[]);
    let api = provider.api(&authority);
    let tokens = Tokens::new(authority.clone());
    let first = tokens.token(&provider.resource).await.unwrap();
    let provider = Arc::new(provider);

    let started = Instant::now();
    let mut renewed_after = None;
    let mut calls = JoinSet::new();
    let (mut sent, mut taken_over) = (0, None);
    // 200 a second, for a second and a half after the new token is there.
    while taken_over.is_none_or(|at: Instant| at.elapsed() < Duration::from_millis(1500)) {
        assert!(started.elapsed() < Duration::from_secs(60), "the certificate never took over");
        let (called, api) = (Arc::clone(&provider), api.clone());
        calls.spawn(async move { called.call(&api).await.status() });
        sent += 1;
        if sent == 100 {
            provider.pki.client("client.test");
            renewed_after = Some(started.elapsed());
        }
        let token = tokens.token(&provider.resource).await.unwrap();
        if token.certificate_thumbprint() != first.certificate_thumbprint() {
            taken_over.get_or_insert_with(Instant::now);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let statuses = calls.join_all().await;
    let failed = statuses.iter().filter(|status| **status != 200).count();
    let seen_after = taken_over.unwrap() - started - renewed_after.unwrap();
    println!(
        "{sent} requests in {:?}, {failed} failed; new certificate in use after {seen_after:?}",
        started.elapsed()
    );
    assert_eq!(failed, 0);
    assert_eq!(provider.count("token"), 2);
}
