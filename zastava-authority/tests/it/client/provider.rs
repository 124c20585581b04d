//! `oidc-provider`, a certified server, and `oauth4webapi` as the resource server.
//!
//! Needs Node 20 and `npm ci` in `tests/oidc-provider`. Without them it prints `SKIP:`.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, Once};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Uri};
use p256::SecretKey;
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::{Authority, AuthorizeLayer, Error, Tokens, TransportOptions};
use zastava_core::http_service::HttpService;
use zastava_core::telemetry::Telemetry;

use super::pki::Pki;
use super::support::{Answer, options};

const SECRET: &str = "a secret of the client";

/// Both servers, in one Node process that ends with this.
pub(crate) struct Provider {
    pub(crate) pki: Pki,
    node: Child,
    lines: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    pub(crate) issuer: String,
    pub(crate) resource: String,
}

impl Provider {
    /// `None` where Node or its modules are missing.
    pub(crate) fn start(extra: Value) -> Option<Self> {
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
        let mut setup = setup(&pki);
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
    pub(crate) fn say(&self, line: &Value) -> Value {
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

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.say(&json!({"do": "counts"}))[what].as_u64().unwrap()
    }

    pub(crate) fn faults(&self, list: Value) {
        self.say(&json!({"do": "faults", "list": list}));
    }

    pub(crate) fn authority(&self, client: &str, settings: &[(&str, &str)]) -> Authority {
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
    pub(crate) fn api(&self, authority: &Authority) -> HttpService {
        let transport =
            TransportOptions { ca_bundle_path: Some(self.pki.bundle()), ..TransportOptions::default() };
        let http = authority.https(&transport).unwrap();
        let origin: Uri = self.resource.parse().unwrap();
        let layer = AuthorizeLayer::new(Tokens::new(authority.clone()), &self.resource, &origin);
        HttpService::new(layer.layer(http))
    }

    pub(crate) async fn call(&self, api: &HttpService) -> Answer {
        let request = Request::post(format!("{}/events?x=1", self.resource)).body(Bytes::new()).unwrap();
        api.clone().oneshot(request).await.unwrap()
    }

    /// Why there is no token.
    pub(crate) async fn failure(&self, authority: &Authority) -> Error {
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

/// Writes the files of all clients, and says how the server is set up.
fn setup(pki: &Pki) -> Value {
    let path = |name: &str| pki.dir.path().join(name);
    pki.server("localhost");
    pki.client("client.test");
    let self_signed = self_signed(&path("self-signed.pem"), &path("self-signed-key.pem"));
    let assertion = SecretKey::generate();
    std::fs::write(path("assertion.pem"), assertion.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes())
        .unwrap();
    std::fs::write(path("secret"), SECRET).unwrap();
    json!({
        "ca": pki.bundle(),
        "certificate": path("server-chain.pem"),
        "key": path("server-key.pem"),
        "secret": SECRET,
        "selfSigned": self_signed,
        "assertionKey": public_jwk(assertion.public_key().to_sec1_point(false).as_bytes()),
    })
}
