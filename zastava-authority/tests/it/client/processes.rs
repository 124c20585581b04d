//! Several processes that share a cache directory. Each is this very program, told to be a client.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use zastava_authority::{Authority, DpopKey, Tokens};
use zastava_core::telemetry::Telemetry;

use super::pki::Pki;
use super::support::{Server, mode_of, options};

const ROLE: &str = "ZASTAVA_TEST_CLIENT";
const KILLS: u64 = 12;
const PROCESSES: usize = 8;

/// What a child does: gets one token and says which. As a test of its own it does nothing.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let dir = Path::new(&dir);
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let issuer = std::fs::read_to_string(dir.join("issuer")).unwrap();
    let files = ["key.pem", "cache", "ca.pem", "client-chain.pem", "client-key.pem"].map(path);
    let settings = [
        ("issuer", issuer.as_str()),
        ("dpopKeyPath", &files[0]),
        ("cacheDir", &files[1]),
        ("caBundlePath", &files[2]),
        ("clientCertificatePath", &files[3]),
        ("clientKeyPath", &files[4]),
        // So long a process that has the lock is waited for: here as long as it takes.
        ("requestTimeoutSeconds", "60"),
    ];
    let tokens = Tokens::new(Authority::connect(&options(&settings), &Telemetry::detached()).unwrap());
    println!("token: {}", tokens.token("scanner").await.unwrap().expose());
}

/// Gets one token after the other, each for a new key, so that each replaces the file of the last.
#[tokio::test]
async fn writer() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let dir = Path::new(&dir);
    let (key_path, cache) = (dir.join("key.pem"), dir.join("cache"));
    let settings = [("dpopKeyPath", key_path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let server = Server::issuing(120).with_latency(Duration::ZERO);
    let key = Arc::new(DpopKey::from_file(&key_path).unwrap());
    let authority = Authority::new(&options(&settings), server.service(), key, &Telemetry::detached());
    let tokens = Tokens::new(authority.clone());
    tokens.token("scanner").await.unwrap();
    println!("token: first");
    loop {
        std::fs::write(&key_path, DpopKey::generate_pem().expose()).unwrap();
        assert!(authority.reload());
        let thumbprint = authority.dpop_key().thumbprint().to_owned();
        while tokens.token("scanner").await.unwrap().thumbprint() != Some(&thumbprint) {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = HashSet::new();
    for number in 0..KILLS {
        std::fs::write(dir.path().join("key.pem"), DpopKey::generate_pem().expose()).unwrap();
        let mut child = spawn(dir.path(), "client::processes::writer");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("token: first"))).unwrap().unwrap();
        // Not an event that could be awaited: any moment must do.
        std::thread::sleep(Duration::from_micros(1_700 * number));
        child.kill().unwrap();
        child.wait().unwrap();
        let files = std::fs::read_dir(dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        let json = files.filter(|path| path.extension().unwrap() == "json").collect::<Vec<_>>();
        let [file] = json.as_slice() else { panic!("{json:?}") };
        let text = std::fs::read_to_string(file).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(whole["token"].as_str().unwrap().starts_with("token-"));
        assert_eq!(mode_of(file), 0o600);
        seen.insert(whole["bindings"]["jkt"].to_string());
    }
    assert!(seen.len() > 1, "it was written between the kills");
}

fn spawn(dir: &Path, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--nocapture"])
        .env(ROLE, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_cold_processes_make_one_token_request() {
    let pki = Pki::new();
    pki.client("client.test");
    std::fs::write(pki.dir.path().join("key.pem"), DpopKey::generate_pem().expose()).unwrap();
    let server = Server::issuing(120);
    let tls = pki.serve(server.service()).await;
    std::fs::write(pki.dir.path().join("issuer"), tls.url("")).unwrap();

    let children: Vec<_> =
        (0..PROCESSES).map(|_| spawn(pki.dir.path(), "client::processes::child")).collect();
    for mut child in children {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen: Vec<_> = lines
            .map(Result::unwrap)
            .filter_map(|line| line.split_once("token: ").map(|(_, token)| token.to_owned()))
            .collect();
        assert_eq!(seen, ["token-1"]);
        assert!(child.wait().unwrap().success());
    }
    println!("{PROCESSES} cold processes: {} token request", server.count());
    assert_eq!(server.count(), 1);
}
