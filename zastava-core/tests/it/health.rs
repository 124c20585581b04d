use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zastava_core::options::HealthOptions;
use zastava_core::program::{Health, HealthServer, Program, Shutdown};
use zastava_core::telemetry::{BUFFER_DEPTH, Telemetry};

const PROGRAM: Program = Program { name: "test", about: "", version: "1.2.3", commit: "abc" };

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let status = answer[9..12].parse().expect("has a status");
    (status, answer.split_once("\r\n\r\n").expect("has a body").1.to_owned())
}

#[tokio::test]
async fn probes_metrics_and_status_are_answered_until_the_end() {
    let (health, telemetry, shutdown) = (Health::new(), Telemetry::detached(), Shutdown::new());
    let check = health.check("source");
    health.status("buffer", || serde_json::json!({"events": 7}));
    telemetry.gauge(BUFFER_DEPTH).set(&[], 7.0);
    // An address that no other test listens on, or another server could take the port that this one gives back.
    let options = HealthOptions::new(([127, 0, 0, 77], 0).into());
    let server = HealthServer::bind(&options, &PROGRAM, health, telemetry).await.expect("binds");
    let address = server.local_addr().expect("is bound");
    let serving = tokio::spawn(server.serve(shutdown.clone()));

    for path in ["/healthz/live", "/health/liveness"] {
        assert_eq!(get(address, path).await.0, 200, "{path}");
    }
    let (status, body) = get(address, "/healthz/ready").await;
    assert_eq!((status, body.as_str()), (503, "[-] source failed: starting\n"));
    check.holds();
    let (status, body) = get(address, "/health/readiness").await;
    assert_eq!((status, body.as_str()), (200, "[+] source ok\n"));
    check.warns("one file hangs");
    let (status, body) = get(address, "/healthz/ready").await;
    assert_eq!((status, body.as_str()), (200, "[!] source ok, but: one file hangs\n"));
    let (_, body) = get(address, "/status").await;
    let json: serde_json::Value = serde_json::from_str(&body).expect("is JSON");
    assert_eq!(json["checks"]["source"], "one file hangs");
    check.holds();
    let (status, body) = get(address, "/status").await;
    let json: serde_json::Value = serde_json::from_str(&body).expect("is JSON");
    assert_eq!(status, 200);
    assert_eq!(json["version"], "1.2.3");
    assert_eq!(json["checks"]["source"], "ok");
    assert_eq!(json["buffer"]["events"], 7);
    assert!(get(address, "/metrics").await.1.contains("zastava_buffer_events 7.0\n"));
    assert_eq!(get(address, "/secret").await.0, 404);

    shutdown.begin();
    serving.await.expect("ends");
    tokio::net::TcpStream::connect(address).await.expect_err("nobody listens any more");
}
