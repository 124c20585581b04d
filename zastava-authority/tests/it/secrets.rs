//! What operators see, and that no secret is in it.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri};
use serde_json::Value;
use tower::{Layer as _, ServiceExt as _};
use tracing_subscriber::fmt::MakeWriter;
use zastava_authority::verify::{NonceIssuer, ReceivedProof, TokenKey, Verifier, VerifierOptions};
use zastava_authority::{
    AuthorizeLayer, DpopKey, ProofRequest, TokenSource as _, Tokens, invalidate_op_token,
};
use zastava_core::clock::Timestamp;
use zastava_core::contract::PolicyRequest;
use zastava_core::telemetry::Telemetry;

use crate::runtime::installation;
use crate::support::{Server, authority_with_key, debug_of, json, status, token, with_header};

/// Everything that is logged on this thread, as JSON lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The fields of the lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].take());
        lines.filter(|fields| fields["message"] == message).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn every_issuance_is_logged_once_with_its_cause() {
    let log = Log::default();
    let _guard = log.start();
    let server = Server::issuing(120);
    let key = Arc::new(DpopKey::generate());
    let authority = authority_with_key(&server, &[], Arc::clone(&key), &Telemetry::detached());
    authority.token("scanner").await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    authority.invalidate("scanner");
    let token = authority.token("scanner").await.unwrap();
    authority.reject(&token);
    authority.token("scanner").await.unwrap();

    let lines = log.lines("Issued runtime OpTok");
    let causes: Vec<_> = lines.iter().map(|line| line["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["cold", "refresh", "invalidated", "rejected"]);
    for line in &lines {
        assert_eq!(line["scope"], "authority.token.issue");
        assert_eq!(line["token_type"], "DPoP");
        assert_eq!(line["audience"], "scanner");
        assert_eq!(line["jkt"], key.thumbprint());
    }
    assert_eq!(lines[0]["expires_at"], "2027-01-15T08:02:00Z");
    assert_eq!(log.lines("Mutual TLS requirement disabled").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_static_token_is_audited_once_a_minute() {
    let log = Log::default();
    let _guard = log.start();
    let server = Server::new(|_| status(503));
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &settings, key, &Telemetry::detached()));
    for _ in 0..150 {
        assert!(tokens.token("scanner").await.unwrap().is_static());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let lines = log.lines("static token serves until Authority answers");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["scope"], "authority.token.fallback");
    assert!(!log.text().contains("static-token"));
}

/// Everything that was printed, by every eight bytes in a row.
struct Printed(HashSet<[u8; 8]>);

impl Printed {
    fn new(text: &str) -> Self {
        Self(text.as_bytes().windows(8).map(|window| window.try_into().unwrap()).collect())
    }

    /// No eight bytes of the secret are there, as they are or in base64.
    fn assert_lacks(&self, secret: &str) {
        let mut forms = vec![secret.as_bytes().to_vec()];
        for skipped in 0..3 {
            // What follows some other bytes has another base64; its first and last character do too.
            let encoded = STANDARD.encode([&b"xxx"[..skipped], secret.as_bytes()].concat());
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
        for form in forms {
            for window in form.windows(8) {
                let shown = String::from_utf8_lossy(window);
                assert!(!self.0.contains(window), "{shown:?} of {secret:?} was printed");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_printed_on_any_way() {
    const TOKEN: &str = "canary0token0canary";
    const SECRET: &str = "canary1secret1canary";
    const STATIC: &str = "canary2static2canary";
    let log = Log::default();
    let _guard = log.start();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let pem = DpopKey::generate_pem();
    std::fs::write(path("key"), pem.expose()).unwrap();
    let key = DpopKey::from_file(path("key").as_ref()).unwrap();
    std::fs::write(path("secret"), SECRET).unwrap();
    let (key_path, secret_path, cache) = (path("key"), path("secret"), path("cache"));
    let settings = [
        ("clientSecretPath", secret_path.as_str()),
        ("dpopKeyPath", &key_path),
        ("cacheDir", &cache),
        ("allowStaticTokenFallback", "true"),
        ("staticTokenValue", STATIC),
    ];

    // Authority and API repeat what they were sent wherever they can.
    let mut number = 0;
    let authority_server = Server::new(move |request| {
        number += 1;
        let proof = request.headers()["dpop"].to_str().unwrap();
        let basic = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
        let echo = format!(r#"{{"error":"{proof}","error_description":"{basic} {TOKEN}"}}"#);
        match number {
            1 => json(400, echo),
            2 => json(200, format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer"}}"#)),
            3 => json(200, format!(r#"{{"access_token":"{TOKEN} {TOKEN}","token_type":"DPoP"}}"#)),
            4 => json(200, TOKEN),
            _ => token(TOKEN, 120),
        }
    });
    let mut calls = 0;
    let api = Server::new(move |request| {
        calls += 1;
        let seen = request.headers()["authorization"].to_str().unwrap().to_owned();
        match calls {
            2 => with_header(status(401), "www-authenticate", r#"DPoP error="invalid_token""#),
            3 => with_header(status(401), "www-authenticate", r#"DPoP error="use_dpop_nonce""#),
            _ => json(200, seen),
        }
    });

    let key = Arc::new(key);
    let authority =
        authority_with_key(&authority_server, &settings, Arc::clone(&key), &Telemetry::detached());
    let tokens = Tokens::new(authority.clone());
    let origin = Uri::from_static("https://api.test");
    let layer = AuthorizeLayer::new(tokens.clone(), "scanner", &origin);
    let service = layer.layer(api.service());
    let mut printed = vec![];
    for _ in 0..40 {
        let request = Request::get("https://api.test/x").body(Bytes::new()).unwrap();
        match service.clone().oneshot(request).await {
            Ok(answer) => drop(answer),
            Err(error) => printed.push(debug_of(&error)),
        }
        match tokens.token("other").await {
            Ok(token) => printed.push(debug_of(&token)),
            Err(error) => printed.push(format!("{} {error}", debug_of(&error))),
        }
        printed.push(authority.status().to_string());
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    tokens.invalidate("scanner");
    printed.push(debug_of(&tokens.token("scanner").await.unwrap()));
    // A new key, and one that is none.
    let renewed = DpopKey::generate_pem();
    for text in [renewed.expose(), &renewed.expose()[..90]] {
        std::fs::write(path("key"), text).unwrap();
        authority.reload();
        printed.push(debug_of(&tokens.token("scanner").await.unwrap()));
    }
    let broken = DpopKey::from_file(path("key").as_ref()).unwrap_err();
    printed.push(format!("{} {broken}", debug_of(&broken)));

    // The same client with another way to say who it is.
    let assertion_key = DpopKey::generate_pem();
    std::fs::write(path("assertion"), assertion_key.expose()).unwrap();
    let assertion_path = path("assertion");
    let settings = [
        ("clientAssertionKeyPath", assertion_path.as_str()),
        ("dpopKeyPath", &key_path),
        ("cacheDir", &cache),
    ];
    let asserting =
        authority_with_key(&authority_server, &settings, Arc::clone(&key), &Telemetry::detached());
    printed.push(debug_of(&asserting.token("asserted").await.unwrap()));
    printed.push(debug_of(&asserting));
    std::fs::write(path("assertion"), &assertion_key.expose()[..90]).unwrap();
    printed.push(debug_of(&asserting.token("refused").await.unwrap_err()));

    let proof_request = ProofRequest {
        method: &http::Method::GET,
        uri: &origin,
        access_token: Some(TOKEN),
        nonce: None,
        issued_at: Timestamp::now(),
    };
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("DPoP {TOKEN}").parse().unwrap());
    let received = ReceivedProof {
        method: &http::Method::GET,
        uri: &origin,
        headers: &headers,
        access_token: Some(TOKEN),
        thumbprint: None,
    };
    printed.push(debug_of(&(&authority, &tokens, &layer, &service, &key, proof_request, received)));
    let verifier = Verifier::new(VerifierOptions::default());
    printed.push(debug_of(&(verifier, NonceIssuer::new(Duration::from_secs(300)), TokenKey::generate())));
    // What is sent prints as `Sensitive`.
    for request in authority_server.requests().iter().chain(&api.requests()) {
        printed.push(debug_of(request.headers()));
    }
    printed.push(log.text());

    let text = printed.join("\n");
    assert!(text.contains("Issued runtime OpTok") && text.contains("static token serves"));
    let printed = Printed::new(&text);
    for secret in [TOKEN, SECRET, STATIC] {
        printed.assert_lacks(secret);
    }
    for pem in [&pem, &renewed, &assertion_key] {
        pem.expose()
            .lines()
            .filter(|line| !line.starts_with('-'))
            .for_each(|line| printed.assert_lacks(line));
    }
    let mut assertions = 0;
    for request in authority_server.requests() {
        let form = String::from_utf8(request.body().to_vec()).unwrap();
        if let Some((_, assertion)) = form.split_once("client_assertion=") {
            assertions += 1;
            let signature = assertion.split('&').next().unwrap().rsplit('.').next().unwrap();
            printed.assert_lacks(signature);
        }
    }
    assert!(assertions > 0);
    for request in authority_server.requests().iter().chain(&api.requests()) {
        if let Some(proof) = request.headers().get("dpop") {
            // The header segment is public and the same in all.
            let (_, private) = proof.to_str().unwrap().split_once('.').unwrap();
            printed.assert_lacks(&private[private.len() - 86..]);
        }
    }
}

/// Over real TLS and the control socket, with files that are renewed and broken under way.
#[tokio::test]
async fn no_secret_is_printed_by_the_whole_either() {
    const TOKENS: [&str; 2] = ["canary3token3canary", "canary4token4canary"];
    let log = Log::default();
    let _guard = log.start();
    let mut number = 0;
    let server = Server::new(move |request| match request.uri().path() {
        "/token" => {
            number += 1;
            token(TOKENS[number % 2], 120)
        }
        _ => json(200, request.headers()["authorization"].to_str().unwrap().to_owned()),
    });
    let (installation, _tls) = installation(server.service()).await;
    let file = |name: &str| installation.pki.dir.path().join(name);
    let mut keys = vec![];
    let mut remember = || {
        keys.extend(["client-key.pem", "key.pem"].map(|name| std::fs::read_to_string(file(name)).unwrap()));
    };
    remember();
    let core = installation.connect().unwrap();
    let mut printed = vec![];
    // Its answer repeats the token and is no answer of Scanner's.
    printed.push(debug_of(&core.scanner().policy(&PolicyRequest::default()).await.unwrap_err()));
    printed.push(debug_of(&invalidate_op_token(&installation.cache(), "scanner").await.unwrap()));
    printed.push(debug_of(&core.tokens().token("scanner").await.unwrap()));
    installation.pki.client("renewed.client.test");
    std::fs::write(file("key.pem"), DpopKey::generate_pem().expose()).unwrap();
    remember();
    let renewed = core.dpop_key().thumbprint().to_owned();
    while core.dpop_key().thumbprint() == renewed {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    printed.push(debug_of(&core.scanner().policy(&PolicyRequest::default()).await.unwrap_err()));
    for name in ["client-key.pem", "key.pem"] {
        let text = std::fs::read_to_string(file(name)).unwrap();
        std::fs::write(file(name), &text[..text.len() / 2]).unwrap();
        printed.push(debug_of(&installation.connect().unwrap_err()));
        std::fs::write(file(name), text).unwrap();
    }
    printed.push(format!("{} {}", debug_of(&core), core.status()));
    printed.push(log.text());

    let text = printed.join("\n");
    assert!(text.contains("Issued runtime OpTok") && text.contains("DPoP key was reloaded"));
    let printed = Printed::new(&text);
    TOKENS.iter().for_each(|token| printed.assert_lacks(token));
    let lines = keys.iter().flat_map(|key| key.lines()).filter(|line| !line.starts_with('-'));
    // The last line of each is short and may hold the public half's end alone.
    lines.filter(|line| line.len() == 64).for_each(|line| printed.assert_lacks(line));
}
