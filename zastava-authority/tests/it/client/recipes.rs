//! The recipes of `docs/ops/authority.md`, as they stand there, run against the servers that they are for.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zastava_authority::{Authority, Error, TokenSource as _, TransportOptions, https};
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::pki::Pki;
use super::provider::Provider;
use super::support::{debug_of, options};

const DOUBT: &str = "OpTok differs from what was asked for";
const SCOPES: &str = "aud:scanner,api:scanner.runtime.write";

/// The first block of this language below the heading.
fn recipe(heading: &str, language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ops/authority.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_recipe_for_oidc_provider_issues_what_is_required() {
    let log = Log::default();
    let _guard = log.start();
    let Some(provider) = Provider::start(json!({"recipe": recipe("oidc-provider", "js")})) else { return };
    provider.pki.client("zastava-runtime");
    let settings = [("audience", "scanner"), ("scopes", SCOPES), ("requireMutualTls", "true")];
    let authority = provider.authority("zastava-runtime", &settings);
    let token = authority.token("scanner").await.unwrap();
    assert_eq!(token.thumbprint(), Some(authority.dpop_key().thumbprint()));
    assert_eq!(log.lines(DOUBT).len(), 0, "{}", log.text());
}

/// A Keycloak of its own, with this realm. It ends with this.
struct Keycloak {
    pki: Pki,
    server: Child,
    issuer: String,
    log: PathBuf,
}

impl Keycloak {
    /// `None` where Java or Keycloak is missing.
    async fn start(realm: &Value) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/keycloak");
        let home = std::env::var_os("ZASTAVA_KEYCLOAK").map_or(root, PathBuf::from);
        let has_java = Command::new("java").arg("-version").output().is_ok();
        if !has_java || !home.join("bin/kc.sh").is_file() {
            let needs = "needs Java 17 and ZASTAVA_KEYCLOAK, the folder of an unpacked org.keycloak:keycloak-quarkus-dist";
            // Not `eprintln`: the harness would keep it to itself.
            let _ = writeln!(std::io::stderr(), "SKIP: Keycloak: {needs}");
            return None;
        }
        let pki = Pki::new();
        pki.server("localhost");
        pki.client("zastava-runtime");
        let path = |name: &str| pki.dir.path().join(name);
        // Keycloak writes beside its programs.
        let copied = path("keycloak");
        assert!(Command::new("cp").arg("-r").args([&home, &copied]).status().unwrap().success());
        std::fs::create_dir_all(copied.join("data/import")).unwrap();
        std::fs::write(copied.join("data/import/zastava.json"), realm.to_string()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = path("log");
        let server = Command::new(copied.join("bin/kc.sh"))
            .args(["start-dev", "--import-realm", "--http-enabled=false", "--https-client-auth=request"])
            .args([format!("--https-port={port}"), "--http-management-port=0".to_owned()])
            .arg(format!("--https-certificate-file={}", path("server-chain.pem").display()))
            .arg(format!("--https-certificate-key-file={}", path("server-key.pem").display()))
            .arg(format!("--truststore-paths={}", pki.bundle().display()))
            .envs([("KC_DB", "dev-mem"), ("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m")])
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            // Its script starts Java, and both must end.
            .process_group(0)
            .spawn()
            .unwrap();
        let issuer = format!("https://localhost:{port}/realms/zastava");
        let mut keycloak = Self { pki, server, issuer, log };
        keycloak.ready().await;
        Some(keycloak)
    }

    async fn ready(&mut self) {
        let transport =
            TransportOptions { ca_bundle_path: Some(self.pki.bundle()), ..TransportOptions::default() };
        let http = https(&transport).unwrap();
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        // Only ends a hang: it takes half a minute on a machine with nothing else to do.
        let deadline = Instant::now() + Duration::from_secs(600);
        loop {
            let answer = http.clone().oneshot(Request::get(&url).body(Bytes::new()).unwrap()).await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            let has_ended = self.server.try_wait().unwrap().is_some();
            let text = || std::fs::read_to_string(&self.log).unwrap();
            assert!(!has_ended && Instant::now() < deadline, "Keycloak does not serve:\n{}", text());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn authority(&self, client: &str, settings: &[(&str, &str)]) -> Authority {
        let path = |name: &str| self.pki.dir.path().join(name).to_str().unwrap().to_owned();
        let (ca, chain, key) = (path("ca.pem"), path("client-chain.pem"), path("client-key.pem"));
        let own = [
            ("issuer", self.issuer.as_str()),
            ("clientId", client),
            ("requireMutualTls", "true"),
            ("caBundlePath", &ca),
            ("clientCertificatePath", &chain),
            ("clientKeyPath", &key),
        ];
        Authority::connect(&options(&[&own, settings].concat()), &Telemetry::detached()).unwrap()
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.server.id().try_into().unwrap_or(0)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.server.wait();
    }
}

/// The recipe, and beside it the clients that an operator gets by a wrong switch.
fn realm() -> Value {
    let mut realm: Value = serde_json::from_str(&recipe("Keycloak", "json")).unwrap();
    let good = realm["clients"][0].clone();
    for (name, dpop, certificate) in
        [("both", "true", "true"), ("certificate", "false", "true"), ("none", "false", "false")]
    {
        let mut client = good.clone();
        client["clientId"] = name.into();
        client["attributes"]["dpop.bound.access.tokens"] = dpop.into();
        client["attributes"]["tls.client.certificate.bound.access.tokens"] = certificate.into();
        realm["clients"].as_array_mut().unwrap().push(client);
    }
    realm
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_keycloak_issues_what_is_required() {
    let Some(keycloak) = Keycloak::start(&realm()).await else { return };
    let authority = keycloak.authority("zastava-runtime", &[]);
    let token = authority.token("scanner").await.unwrap();
    assert_eq!(token.thumbprint(), Some(authority.dpop_key().thumbprint()));
    assert_eq!(authority.status()[0]["tokenType"], "DPoP");

    // The switches that leave the binding to the certificate, or to nothing.
    let cause = |error: Error| match error {
        Error::Unavailable { last, .. } => Error::clone(&last),
        other => other,
    };
    let rows = [
        ("both", vec![], Some("cnf.jkt")),
        ("none", vec![("requireDpop", "false")], Some("cnf.x5t#S256")),
        ("certificate", vec![("requireDpop", "false")], None),
        ("zastava-runtime", vec![("scopes", "api:scanner.runtime.write")], None),
    ];
    for (client, settings, refused) in rows {
        let outcome = keycloak.authority(client, &settings).token("scanner").await.map_err(cause);
        println!(
            "{client} {settings:?}: {}",
            outcome.as_ref().map_or_else(ToString::to_string, |_| "issued".to_owned())
        );
        match (&outcome, refused) {
            (Ok(token), None) => assert!(token.is_bound(), "{client}"),
            (Err(Error::Claim { claim, .. }), Some(expected)) => assert_eq!(*claim, expected, "{client}"),
            _ => panic!("{client}: {}", debug_of(&outcome)),
        }
    }
    // What Keycloak refuses, it refuses with its reason, and to whom is said.
    let error = cause(keycloak.authority("nobody", &[]).token("scanner").await.unwrap_err());
    assert!(error.to_string().contains("for client \"nobody\""), "{error}");
}
