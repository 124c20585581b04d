//! The HTTP client against a real TLS server.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tower::ServiceExt as _;
use zastava_authority::{Error, TransportOptions, https};
use zastava_core::http_service::HttpService;

use super::pki::Pki;
use super::support::{Answer, Server, json, status, with_header};

fn server() -> Server {
    Server::new(|request| match request.uri().path() {
        "/echo" => json(200, request.body().clone()),
        "/long" => json(200, vec![b'x'; 4096]),
        "/elsewhere" => with_header(status(307), "location", "/echo"),
        _ => status(404),
    })
    .with_latency(Duration::ZERO)
}

fn options(pki: &Pki) -> TransportOptions {
    TransportOptions {
        ca_bundle_path: Some(pki.bundle()),
        client_identity: Some(pki.client("client.test")),
        body_bytes_max: 1024,
        ..TransportOptions::default()
    }
}

async fn post(http: &HttpService, url: &str) -> Result<Answer, Error> {
    let request = Request::post(url).body(Bytes::from_static(b"hello")).unwrap();
    http.clone().oneshot(request).await.map_err(|error| *error.downcast().unwrap())
}

#[tokio::test]
async fn client_and_server_present_certificates() {
    let pki = Pki::new();
    let tls = pki.serve(server().service()).await;
    let http = https(&options(&pki)).unwrap();
    assert_eq!(post(&http, &tls.url("/echo")).await.unwrap().body(), "hello");

    let anonymous = https(&TransportOptions { client_identity: None, ..options(&pki) }).unwrap();
    let refused = post(&anonymous, &tls.url("/echo")).await.unwrap_err();
    assert!(matches!(refused, Error::CertificateRefused { .. }) && refused.is_configuration(), "{refused:?}");
    let other = Pki::new();
    let stranger =
        https(&TransportOptions { ca_bundle_path: Some(other.bundle()), ..options(&pki) }).unwrap();
    let error = post(&stranger, &tls.url("/echo")).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }) && error.is_configuration(), "{error:?}");
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let last = causes.last().unwrap().to_string();
    assert!(last.starts_with("invalid peer certificate"), "{last}");
}

#[tokio::test]
async fn bounds_hold_and_redirects_come_back() {
    let pki = Pki::new();
    let server = server();
    let tls = pki.serve(server.service()).await;
    let http = https(&options(&pki)).unwrap();
    assert!(matches!(post(&http, &tls.url("/long")).await, Err(Error::TooLong { bytes_max: 1024, .. })));
    assert_eq!(post(&http, &tls.url("/elsewhere")).await.unwrap().status(), 307);
    assert_eq!(server.count(), 2, "nothing was sent twice or elsewhere");
}

#[tokio::test]
async fn plain_http_is_refused_unless_allowed() {
    let pki = Pki::new();
    let refused = post(&https(&options(&pki)).unwrap(), "http://localhost:9/").await;
    assert!(matches!(refused, Err(Error::Insecure { .. })));
    let allowed = https(&TransportOptions { allow_http: true, ..options(&pki) }).unwrap();
    assert!(matches!(post(&allowed, "http://127.0.0.1:1/").await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn a_silent_server_costs_the_time_allowed() {
    let pki = Pki::new();
    // Connections are accepted by the kernel and never served.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let limit = Duration::from_millis(50);
    let http = https(&TransportOptions { request_timeout: limit, ..options(&pki) }).unwrap();
    assert!(matches!(post(&http, &url).await, Err(Error::Timeout { after, .. }) if after == limit));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_connection() {
    let pki = Pki::new();
    let tls = pki.serve(server().service()).await;
    let http = https(&options(&pki)).unwrap();
    let length = |answer: Answer| answer.headers()["client-certificate-bytes"].clone();
    let first = length(post(&http, &tls.url("/echo")).await.unwrap());

    // The client checks the files now and then, and reports nothing.
    pki.client("renewed.with-a-longer-name.client.test");
    loop {
        // A new server for each look: the old connection would go on under the old certificate.
        let tls = pki.serve(server().service()).await;
        let now = length(post(&http, &tls.url("/echo")).await.unwrap());
        if now != first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let pki = Pki::new();
    let (chain, key) = pki.client("client.test");
    let empty = pki.dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let other = Pki::new();
    let (_, other_key) = other.client("client.test");
    let rows = [
        TransportOptions { ca_bundle_path: Some(empty.clone()), ..options(&pki) },
        TransportOptions { client_identity: Some((empty.clone(), key.clone())), ..options(&pki) },
        TransportOptions { client_identity: Some((chain.clone(), empty)), ..options(&pki) },
        TransportOptions { client_identity: Some((chain.clone(), chain.clone())), ..options(&pki) },
        TransportOptions { client_identity: Some((chain, other_key)), ..options(&pki) },
    ];
    for options in rows {
        let error = https(&options).map(drop).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }) && error.is_configuration(), "{error:?}");
    }
}

/// Opening a pipe waits for its other end, and a device has no end.
#[test]
fn pipes_devices_and_huge_files_are_refused_at_once() {
    let pki = Pki::new();
    let (chain, key) = pki.client("client.test");
    let pipe = pki.dir.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let huge = pki.dir.path().join("huge.pem");
    std::fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    for path in [pipe, huge, "/dev/zero".into(), pki.dir.path().into(), pki.dir.path().join("missing")] {
        let rows = [
            TransportOptions { ca_bundle_path: Some(path.clone()), ..options(&pki) },
            TransportOptions { client_identity: Some((path.clone(), key.clone())), ..options(&pki) },
            TransportOptions { client_identity: Some((chain.clone(), path.clone())), ..options(&pki) },
        ];
        for options in rows {
            let error = https(&options).map(drop).unwrap_err();
            assert!(matches!(&error, Error::File { path: named, .. } if *named == path), "{error:?}");
        }
    }
}

/// Asks until the answer is as expected. Files are checked once a second.
async fn until(http: &HttpService, url: &str, expected: impl Fn(Result<Answer, Error>) -> bool) {
    while !expected(post(http, url).await) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn authorities_that_are_added_or_withdrawn_count_without_a_restart() {
    let (old, new) = (Pki::new(), Pki::new());
    let tls = old.serve(server().service()).await;
    let url = tls.url("/echo");
    let http = https(&options(&old)).unwrap();
    assert!(post(&http, &url).await.is_ok());

    let with_both = [old.bundle(), new.bundle()].map(|path| std::fs::read_to_string(path).unwrap());
    let of_old = with_both[0].clone();
    // The connection of before is still open, and is not gone on with.
    std::fs::write(old.bundle(), &with_both[1]).unwrap();
    until(&http, &url, |answer| matches!(answer, Err(Error::Untrusted { .. }))).await;
    std::fs::write(old.bundle(), with_both.concat()).unwrap();
    until(&http, &url, |answer| answer.is_ok()).await;

    // What cannot be used leaves all as it was.
    std::fs::write(old.bundle(), &of_old[..of_old.len() / 2]).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(post(&http, &url).await.is_ok());
}

#[tokio::test]
async fn another_chain_of_the_same_certificate_is_shown_too() {
    let pki = Pki::new();
    let tls = pki.serve(server().service()).await;
    let options = options(&pki);
    let http = https(&options).unwrap();
    let shown = |answer: Result<Answer, Error>| answer.unwrap().headers()["client-certificates"].clone();
    assert_eq!(shown(post(&http, &tls.url("/echo")).await), "1");
    let (chain, _) = options.client_identity.unwrap();
    let pem = std::fs::read_to_string(&chain).unwrap() + &std::fs::read_to_string(pki.bundle()).unwrap();
    std::fs::write(chain, pem).unwrap();
    until(&http, &tls.url("/echo"), |answer| shown(answer) == "2").await;
}
