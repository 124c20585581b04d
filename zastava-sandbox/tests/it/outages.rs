use tokio::net::TcpStream;
use zastava_sandbox::{Error, Sandbox};

use crate::client::{Bench, EVENTS, SCOPES, batch, event};

async fn is_refused(sandbox_url: &http::Uri) -> bool {
    let (host, port) = (sandbox_url.host().expect("has a host"), sandbox_url.port_u16().expect("has a port"));
    let refused = std::io::ErrorKind::ConnectionRefused;
    TcpStream::connect((host, port)).await.is_err_and(|error| error.kind() == refused)
}

#[tokio::test]
async fn an_outage_refuses_connections_and_forgets_nothing() {
    let bench = Bench::new().await;
    let (sandbox, scanner) = (&bench.sandbox, bench.sandbox.scanner_url());
    bench.post(EVENTS, batch(&[event("a")])).await.expect("answers");
    // Once idle and once more while offline already: both are no trouble.
    for _ in 0..2 {
        sandbox.scanner_offline().await;
        assert!(is_refused(&scanner).await);
    }
    bench.token(SCOPES).await;
    for _ in 0..2 {
        sandbox.scanner_online().await.expect("comes back");
    }
    assert_eq!(sandbox.scanner_url(), scanner);
    let answer = bench.post(EVENTS, batch(&[event("a"), event("b")])).await.expect("answers");
    assert_eq!(answer.json(), serde_json::json!({"accepted": 1, "duplicates": 1}));

    let token = bench.token(SCOPES).await;
    sandbox.authority_offline().await;
    assert!(is_refused(&sandbox.issuer()).await);
    // Tokens that are out go on being good.
    let nonce = bench.scanner_nonce(&token).await;
    let proof = bench.proof(&bench.scanner_uri(EVENTS), Some(&token), Some(&nonce));
    let request = bench.scanner_request(EVENTS, &format!("DPoP {token}"), &proof, batch(&[event("c")]));
    assert_eq!(bench.send(request).await.expect("answers").status.as_u16(), 202);
    sandbox.authority_online().await.expect("comes back");
    bench.token(SCOPES).await;
}

#[tokio::test]
async fn going_offline_ends_open_connections() {
    use tokio::io::AsyncReadExt as _;
    let bench = Bench::new().await;
    let scanner = bench.sandbox.scanner_url();
    let address = (scanner.host().expect("has a host"), scanner.port_u16().expect("has a port"));
    let mut idle = TcpStream::connect(address).await.expect("connects");
    // The listener took the connection before it answers one that came later.
    bench.get(&bench.scanner_uri("/healthz/live").to_string()).await;
    bench.sandbox.scanner_offline().await;
    let mut byte = [0];
    assert!(matches!(idle.read(&mut byte).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_last_handle_ends_the_servers() {
    let bench = Bench::new().await;
    let (issuer, scanner) = (bench.sandbox.issuer(), bench.sandbox.scanner_url());
    let other: Sandbox = bench.sandbox.clone();
    drop(bench);
    assert!(!is_refused(&issuer).await, "a handle is left");
    drop(other);
    for url in [issuer, scanner] {
        // The servers end by themselves; nothing tells when.
        while !is_refused(&url).await {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_stopped_sandbox_stays_stopped() {
    let bench = Bench::new().await;
    bench.sandbox.stop().await;
    assert!(is_refused(&bench.sandbox.issuer()).await && is_refused(&bench.sandbox.scanner_url()).await);
    assert!(matches!(bench.sandbox.scanner_online().await, Err(Error::Stopped)));
    bench.sandbox.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let bench = Bench::new().await;
    let taken = bench.sandbox.scanner_url().port_u16().expect("has a port");
    let directory = tempfile::tempdir().expect("has a place for files");
    let mut options = zastava_sandbox::SandboxOptions::new(directory.path());
    options.authority_port = taken;
    match Sandbox::start(options).await {
        Err(Error::Listen { address, .. }) => assert_eq!(address.port(), taken),
        other => panic!("{other:?}"),
    }
}
