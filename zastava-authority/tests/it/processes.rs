//! Several processes that share a cache directory. Each is this very program, told to be a client.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zastava_authority::{Authority, DpopKey, Tokens};
use zastava_core::telemetry::Telemetry;

use crate::support::{Pki, Server, options};

const ROLE: &str = "ZASTAVA_TEST_CLIENT";
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
    ];
    let tokens = Tokens::new(Authority::connect(&options(&settings), &Telemetry::detached()).unwrap());
    println!("token: {}", tokens.token("scanner").await.unwrap().expose());
}

fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
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

    let children: Vec<_> = (0..PROCESSES).map(|_| spawn(pki.dir.path())).collect();
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
