//! No secret is printed: not in a log, an error, a status or `Debug`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri};
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{NonceIssuer, ReceivedProof, TokenKey, Verifier, VerifierOptions};
use zastava_authority::{
    Authority, AuthorizeLayer, DpopKey, ProofRequest, TokenSource as _, Tokens, invalidate_op_token,
};
use zastava_core::clock::Timestamp;
use zastava_core::contract::PolicyRequest;
use zastava_core::secret::Secret;
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::runtime::installation;
use super::support::{Server, authority_with_key, debug_of, json, status, token, with_header};

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

const TOKEN: &str = "canary0token0canary";
const SECRET: &str = "canary1secret1canary";
const STATIC: &str = "canary2static2canary";

/// Authority and an API that repeat what they were sent wherever they can.
struct Echoing {
    authority: Server,
    api: Server,
}

impl Echoing {
    fn new() -> Self {
        let mut number = 0;
        let authority = Server::new(move |request| {
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
        Self { authority, api }
    }

    fn requests(&self) -> Vec<Request<Bytes>> {
        [self.authority.requests(), self.api.requests()].concat()
    }
}

/// The files of a client, and everything about it that was printed.
struct Client {
    dir: tempfile::TempDir,
    pems: Vec<Secret>,
    printed: Vec<String>,
}

impl Client {
    fn new() -> Self {
        let mut client = Self { dir: tempfile::tempdir().unwrap(), pems: vec![], printed: vec![] };
        client.write_key("key");
        std::fs::write(client.path("secret"), SECRET).unwrap();
        client
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write_key(&mut self, name: &str) {
        let pem = DpopKey::generate_pem();
        std::fs::write(self.path(name), pem.expose()).unwrap();
        self.pems.push(pem);
    }

    /// Leaves half of the newest key in the file.
    fn break_key(&self, name: &str) {
        std::fs::write(self.path(name), &self.pems.last().unwrap().expose()[..90]).unwrap();
    }

    fn authority(&self, server: &Server, settings: &[(&str, &str)]) -> Authority {
        let (key, cache) = (self.path("key"), self.path("cache"));
        let settings = [&[("dpopKeyPath", key.as_str()), ("cacheDir", &cache)], settings].concat();
        let key = Arc::new(DpopKey::from_file(key.as_ref()).unwrap());
        authority_with_key(server, &settings, key, &Telemetry::detached())
    }

    fn print(&mut self, value: &impl std::fmt::Debug) {
        self.printed.push(debug_of(value));
    }

    fn print_error<T>(&mut self, outcome: Result<T, impl std::error::Error>) {
        let error = outcome.err().unwrap();
        self.printed.push(format!("{} {error}", debug_of(&error)));
    }
}

/// Calls the API through an outage of Authority, an invalidation, a new key and a broken key.
async fn call_the_api(client: &mut Client, servers: &Echoing) {
    let secret = client.path("secret");
    let settings = [
        ("clientSecretPath", secret.as_str()),
        ("allowStaticTokenFallback", "true"),
        ("staticTokenValue", STATIC),
    ];
    let authority = client.authority(&servers.authority, &settings);
    let tokens = Tokens::new(authority.clone());
    let layer = AuthorizeLayer::new(tokens.clone(), "scanner", &Uri::from_static("https://api.test"));
    let service = layer.layer(servers.api.service());
    for _ in 0..40 {
        let request = Request::get("https://api.test/x").body(Bytes::new()).unwrap();
        if let Err(error) = service.clone().oneshot(request).await {
            client.print(&error);
        }
        match tokens.token("other").await {
            Ok(token) => client.print(&token),
            error => client.print_error(error),
        }
        client.printed.push(authority.status().to_string());
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    tokens.invalidate("scanner");
    client.print(&tokens.token("scanner").await.unwrap());
    client.write_key("key");
    authority.reload();
    client.print(&tokens.token("scanner").await.unwrap());
    client.break_key("key");
    authority.reload();
    client.print(&tokens.token("scanner").await.unwrap());
    client.print_error(DpopKey::from_file(client.path("key").as_ref()));
    client.print(&(&authority, &tokens, &layer, &service, authority.dpop_key()));
    std::fs::write(client.path("key"), client.pems.last().unwrap().expose()).unwrap();
}

/// Authenticates with an assertion, by a good key and by a broken one.
async fn assert_identity(client: &mut Client, servers: &Echoing) {
    client.write_key("assertion");
    let assertion = client.path("assertion");
    let authority = client.authority(&servers.authority, &[("clientAssertionKeyPath", &assertion)]);
    client.print(&authority.token("asserted").await.unwrap());
    client.print(&authority);
    client.break_key("assertion");
    client.print_error(authority.token("refused").await);
}

/// Prints the values that a program makes to sign and to verify.
fn print_values(client: &mut Client) {
    let (method, uri) = (&http::Method::GET, &Uri::from_static("https://api.test"));
    let access_token = Some(TOKEN);
    client.print(&ProofRequest { method, uri, access_token, nonce: None, issued_at: Timestamp::now() });
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("DPoP {TOKEN}").parse().unwrap());
    client.print(&ReceivedProof { method, uri, headers: &headers, access_token, thumbprint: None });
    let verifier = Verifier::new(VerifierOptions::default());
    client.print(&(verifier, NonceIssuer::new(Duration::from_secs(300)), TokenKey::generate()));
}

#[tokio::test(start_paused = true)]
async fn no_code_path_prints_a_secret() {
    let log = Log::default();
    let _guard = log.start();
    let (mut client, servers) = (Client::new(), Echoing::new());
    call_the_api(&mut client, &servers).await;
    assert_identity(&mut client, &servers).await;
    print_values(&mut client);
    // What is sent prints as `Sensitive`.
    servers.requests().iter().for_each(|request| client.print(request.headers()));
    client.printed.push(log.text());

    let text = client.printed.join("\n");
    assert!(text.contains("Issued runtime OpTok") && text.contains("static token serves"));
    let printed = Printed::new(&text);
    [TOKEN, SECRET, STATIC].iter().for_each(|secret| printed.assert_lacks(secret));
    for line in client.pems.iter().flat_map(|pem| pem.expose().lines()) {
        if !line.starts_with('-') {
            printed.assert_lacks(line);
        }
    }
    let mut assertions = 0;
    for request in servers.requests() {
        let form = String::from_utf8(request.body().to_vec()).unwrap();
        if let Some((_, assertion)) = form.split_once("client_assertion=") {
            assertions += 1;
            printed.assert_lacks(assertion.split('&').next().unwrap().rsplit('.').next().unwrap());
        }
        if let Some(proof) = request.headers().get("dpop") {
            // The header segment is public and the same in all. The last 86 characters are the signature.
            let proof = proof.to_str().unwrap();
            printed.assert_lacks(&proof[proof.len() - 86..]);
        }
    }
    assert!(assertions > 0);
}

/// Over real TLS and the control socket, with files that are renewed and broken under way.
#[tokio::test]
async fn the_assembled_client_prints_no_secret() {
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
