//! The whole, over real TLS and a real socket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::{
    Authority, AuthorizeLayer, DpopKey, Error, RuntimeCore, TokenSource as _, Tokens, TransportOptions,
    invalidate_op_token,
};
use zastava_core::contract::PolicyRequest;
use zastava_core::http_service::HttpService;
use zastava_core::options::{BackendOptions, RuntimeOptions};
use zastava_core::telemetry::Telemetry;

use super::pki::{Pki, TlsServer};
use super::support::{Server, json as answer, mode_of, read, status, token};

/// Authority and Scanner in one.
fn server() -> Server {
    let mut number = 0;
    Server::new(move |request| match request.uri().path() {
        "/token" => {
            number += 1;
            token(&format!("token-{number}"), 120)
        }
        "/api/v1/scanner/policy/runtime" => answer(200, r#"{"ttlSeconds":300,"results":{}}"#),
        _ => answer(404, ""),
    })
}

pub(crate) struct Installation {
    pub(crate) pki: Pki,
    settings: Vec<(&'static str, String)>,
    url: String,
}

impl Installation {
    fn new(url: String) -> Self {
        let pki = Pki::new();
        let path = |name: &str| pki.dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("key.pem"), DpopKey::generate_pem().expose()).unwrap();
        pki.client("client.test");
        let settings = vec![
            ("tenant", "acme".to_owned()),
            ("authority.issuer", url.clone()),
            ("authority.cacheDir", path("optok")),
            ("authority.dpopKeyPath", path("key.pem")),
            ("authority.caBundlePath", path("ca.pem")),
            ("authority.clientCertificatePath", path("client-chain.pem")),
            ("authority.clientKeyPath", path("client-key.pem")),
        ];
        Self { pki, settings, url }
    }

    pub(crate) fn cache(&self) -> std::path::PathBuf {
        self.pki.dir.path().join("optok")
    }

    pub(crate) fn connect(&self) -> Result<RuntimeCore, Error> {
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let options = read(&settings, RuntimeOptions::read);
        let backend = BackendOptions::new(self.url.parse().unwrap());
        RuntimeCore::connect(&options, &backend, &Telemetry::detached())
    }
}

/// A server needs the authority that the installation has, so its port is known afterwards.
pub(crate) async fn installation(service: HttpService) -> (Installation, TlsServer) {
    let mut installation = Installation::new(String::new());
    let tls = installation.pki.serve(service).await;
    installation.url = tls.url("");
    installation.settings[1].1 = installation.url.clone();
    (installation, tls)
}

fn sockets(dir: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect()
}

#[tokio::test]
async fn scanner_is_asked_with_a_token_and_a_proof() {
    let server = server();
    let (installation, _tls) = installation(server.service()).await;
    let core = installation.connect().unwrap();
    core.scanner().policy(&PolicyRequest::default()).await.unwrap();

    let requests = server.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.uri().path()).collect();
    assert_eq!(paths, ["/token", "/api/v1/scanner/policy/runtime"]);
    assert_eq!(requests[1].headers()["authorization"], "DPoP token-1");
    assert!(requests[1].headers().contains_key("dpop"));
    let status = core.status();
    assert_eq!(status["tokens"][0]["state"], "valid");
    assert_eq!((&status["mutualTls"], &status["requireDpop"]), (&json!(true), &json!(true)));
    assert!(!status.to_string().contains("token-1"));
}

#[tokio::test]
async fn the_command_reaches_every_process_and_a_new_token_is_issued() {
    let server = server();
    let (installation, _tls) = installation(server.service()).await;
    let cores = [installation.connect().unwrap(), installation.connect().unwrap()];
    for core in &cores {
        core.tokens().token("scanner").await.unwrap();
    }
    let before = server.count();
    let sockets_then = sockets(&installation.cache());
    assert_eq!(sockets_then.len(), 2);
    assert!(sockets_then.iter().all(|socket| mode_of(socket) == 0o600));

    let done = invalidate_op_token(&installation.cache(), "scanner").await.unwrap();
    // Two in memory, one file.
    assert_eq!((done.processes, done.tokens), (2, 3));
    // One asks, and the other takes the new token from the disk.
    for core in &cores {
        assert_eq!(core.tokens().token("scanner").await.unwrap().expose(), "token-2");
    }
    assert_eq!(server.count(), before + 1);
    let unknown = invalidate_op_token(&installation.cache(), "unknown").await.unwrap();
    assert_eq!((unknown.processes, unknown.tokens), (2, 0));
}

#[tokio::test]
async fn the_control_socket_is_removed_with_the_last_handle() {
    let (installation, _tls) = installation(server().service()).await;
    let core = installation.connect().unwrap();
    let scanner = core.scanner();
    drop(core);
    assert_eq!(invalidate_op_token(&installation.cache(), "x").await.unwrap().processes, 1);
    drop(scanner);
    // The tasks end at their next turn.
    while !sockets(&installation.cache()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn garbage_on_the_control_socket_does_no_harm() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (installation, _tls) = installation(server().service()).await;
    let core = installation.connect().unwrap();
    let socket = sockets(&installation.cache()).remove(0);
    for garbage in [&b"\n"[..], b"{}\n", b"\xff\xff\n", &[b'x'; 100_000]] {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }
    assert_eq!(invalidate_op_token(&installation.cache(), "x").await.unwrap().processes, 1);
    drop(core);
}

/// RFC 8705 section 3: a token is of no use over a connection with another certificate.
#[tokio::test]
async fn a_token_goes_with_the_certificate_that_it_is_bound_to() {
    let server = server();
    let (installation, tls) = installation(server.service()).await;
    let settings: Vec<_> = installation.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let options = read(&settings, RuntimeOptions::read).authority;
    let authority = Authority::connect(&options, &Telemetry::detached()).unwrap();
    let transport =
        TransportOptions { ca_bundle_path: options.ca_bundle_path, ..TransportOptions::default() };
    let http = authority.https(&transport).unwrap();
    let origin = tls.url("").parse().unwrap();
    let api = AuthorizeLayer::new(Tokens::new(authority.clone()), "scanner", &origin).layer(http);
    let shown = async || {
        let request = Request::get(tls.url("/")).body(Bytes::new()).unwrap();
        api.clone().oneshot(request).await.unwrap().headers()["client-certificate-bytes"].clone()
    };
    let first = shown().await;

    // The certificate is renewed, and Authority has no token for it yet.
    server.handle(|_| status(503));
    installation.pki.client("renewed.with-a-longer-name.client.test");
    authority.reload();
    assert_eq!(shown().await, first);
    server.handle(|_| token("renewed", 120));
    authority.invalidate("scanner");
    // A refusal may still be on its way.
    while authority.token("scanner").await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(shown().await, first);
}

#[tokio::test]
async fn a_cached_token_of_another_certificate_is_not_taken() {
    let server = server();
    let (installation, _tls) = installation(server.service()).await;
    for (name, expected) in
        [("client.test", "token-1"), ("client.test", "token-1"), ("renewed.test", "token-2")]
    {
        if name != "client.test" {
            installation.pki.client(name);
        }
        let core = installation.connect().unwrap();
        assert_eq!(core.tokens().token("scanner").await.unwrap().expose(), expected);
    }
}

/// All are asked, however close together they begin to listen.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_are_all_reached() {
    let (installation, _tls) = installation(server().service()).await;
    for _ in 0..20 {
        let cores: Vec<_> = std::thread::scope(|scope| {
            let handle = tokio::runtime::Handle::current();
            let starts: Vec<_> = (0..4)
                .map(|_| {
                    let (handle, installation) = (handle.clone(), &installation);
                    scope.spawn(move || {
                        let _entered = handle.enter();
                        installation.connect().unwrap()
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let done = invalidate_op_token(&installation.cache(), "x").await.unwrap();
        assert_eq!((done.processes, done.unanswered), (cores.len(), 0));
        drop(cores);
        // The tasks end at their next turn.
        while !sockets(&installation.cache()).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_silent_client_does_not_delay_others() {
    use tokio::io::AsyncReadExt as _;
    let (installation, _tls) = installation(server().service()).await;
    let core = installation.connect().unwrap();
    let socket = sockets(&installation.cache()).remove(0);
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(tokio::net::UnixStream::connect(&socket).await.unwrap());
    }
    let done = invalidate_op_token(&installation.cache(), "x").await.unwrap();
    assert_eq!((done.processes, done.unanswered), (1, 0));
    for mut stream in silent {
        let mut nothing = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut nothing)).await;
        assert_eq!(end.expect("it is hung up on").unwrap(), 0);
    }
    drop(core);
}

#[tokio::test]
async fn processes_that_do_not_answer_are_counted() {
    let (installation, _tls) = installation(server().service()).await;
    let core = installation.connect().unwrap();
    // As of processes that are stopped: the kernel takes the question, and nobody reads it.
    let stopped = ["control-1-7.sock", "control-1-8.sock"]
        .map(|name| std::os::unix::net::UnixListener::bind(installation.cache().join(name)).unwrap());
    let done = invalidate_op_token(&installation.cache(), "x").await.unwrap();
    assert_eq!((done.processes, done.unanswered), (1, 2));
    drop((core, stopped));
}

#[tokio::test]
async fn a_token_requested_after_the_command_stays() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (installation, _tls) = installation(server().service()).await;
    let core = installation.connect().unwrap();
    let token = core.tokens().token("scanner").await.unwrap();
    let socket = sockets(&installation.cache()).remove(0);
    for (until, dropped) in
        [("2020-01-01T00:00:00Z", r#"{"tokens":0}"#), ("2999-01-01T00:00:00Z", r#"{"tokens":2}"#)]
    {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let question = format!("{{\"invalidate\":\"scanner\",\"until\":\"{until}\"}}\n");
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.trim(), dropped);
        let is_same = core.tokens().token("scanner").await.unwrap().generation() == token.generation();
        assert_eq!(is_same, until < "2027");
    }
}

#[tokio::test]
async fn a_missing_key_is_a_fault_of_configuration() {
    let mut installation = Installation::new("https://localhost:1".to_owned());
    installation.settings[3].1 = "/does/not/exist".to_owned();
    let error = installation.connect().unwrap_err();
    assert!(error.is_configuration());
    assert_eq!(error.to_string(), "cannot use /does/not/exist");
}

#[tokio::test]
async fn without_authority_the_error_says_that_there_is_no_token() {
    let core = Installation::new("https://localhost:1".to_owned()).connect().unwrap();
    let error = core.scanner().send_events(Bytes::from_static(b"{}")).await.unwrap_err();
    assert_eq!(error.to_string(), "no token from authority, so scanner was not asked");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "no valid token for \"scanner\"");
}
