//! A scripted server as a tower service, a clock that follows tokio's, and a real TLS server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;
use zastava_authority::verify::ReceivedProof;
use zastava_authority::{Authority, DpopKey, Tokens};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::config::{Configuration, Origin, Section};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;

pub(crate) type Answer = Response<Bytes>;
type Handler = Box<dyn FnMut(&Request<Bytes>) -> Answer + Send>;

/// Answers every request but those for metadata after `latency`, and remembers it.
#[derive(Clone)]
pub(crate) struct Server {
    handler: Arc<Mutex<Handler>>,
    requests: watch::Sender<Vec<Request<Bytes>>>,
    metadata: Arc<Mutex<Vec<(String, Answer)>>>,
    latency: Duration,
}

impl Server {
    pub(crate) fn new(handler: impl FnMut(&Request<Bytes>) -> Answer + Send + 'static) -> Self {
        let handler: Handler = Box::new(handler);
        Self {
            handler: Arc::new(Mutex::new(handler)),
            requests: watch::Sender::default(),
            metadata: Arc::default(),
            latency: Duration::from_millis(50),
        }
    }

    /// Issues `token-1`, `token-2`, … of type DPoP with this life.
    pub(crate) fn issuing(life: u64) -> Self {
        let mut number = 0;
        Self::new(move |_| {
            number += 1;
            token(&format!("token-{number}"), life)
        })
    }

    pub(crate) fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Answers requests for this path of metadata; all others are 404.
    pub(crate) fn with_metadata(self, path: &str, answer: Answer) -> Self {
        self.publish(path, answer);
        self
    }

    /// The same from now on.
    pub(crate) fn publish(&self, path: &str, answer: Answer) {
        let mut metadata = self.metadata.lock().unwrap();
        metadata.retain(|(known, _)| known != path);
        metadata.push((path.to_owned(), answer));
    }

    pub(crate) fn handle(&self, handler: impl FnMut(&Request<Bytes>) -> Answer + Send + 'static) {
        *self.handler.lock().unwrap() = Box::new(handler);
    }

    pub(crate) fn service(&self) -> HttpService {
        let server = self.clone();
        HttpService::new(tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, BoxError>(server.answer(request).await) }
        }))
    }

    async fn answer(&self, request: Request<Bytes>) -> Answer {
        if request.uri().path().contains("/.well-known/") {
            let metadata = self.metadata.lock().unwrap();
            let found = metadata.iter().find(|(path, _)| path == request.uri().path());
            return found.map_or_else(|| status(404), |(_, answer)| answer.clone());
        }
        tokio::time::sleep(self.latency).await;
        let answer = (self.handler.lock().unwrap())(&request);
        self.requests.send_modify(|requests| requests.push(request));
        answer
    }

    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.borrow().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.borrow().len()
    }

    /// Returns when that many requests were answered.
    pub(crate) async fn wait_for(&self, count: usize) {
        self.requests.subscribe().wait_for(|requests| requests.len() >= count).await.unwrap();
    }
}

pub(crate) fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Bytes::new()).unwrap()
}

pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).unwrap()
}

pub(crate) fn token(token: &str, life: u64) -> Answer {
    json(200, format!(r#"{{"access_token":"{token}","token_type":"DPoP","expires_in":{life}}}"#))
}

pub(crate) fn refusal(status: u16, code: &str) -> Answer {
    json(status, format!(r#"{{"error":"{code}","error_description":"the server's own words"}}"#))
}

pub(crate) fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

/// Moves with tokio's clock, which tests pause.
#[derive(Debug)]
pub(crate) struct TokioClock(tokio::time::Instant);

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000).saturating_add(self.0.elapsed())
    }
}

/// `tracing` decides once whether a line is of interest, on the thread that reaches it first. With
/// fewer than two dispatchers it asks that thread's own, and lines that another test captures
/// would be lost.
static INTERESTED: LazyLock<[tracing::Dispatch; 2]> = LazyLock::new(|| {
    let everything = || tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    [(); 2].map(|()| everything().with_writer(std::io::sink).finish().into())
});

pub(crate) fn read<T>(settings: &[(&str, &str)], read: impl FnOnce(&Section<'_>) -> Option<T>) -> T {
    LazyLock::force(&INTERESTED);
    let mut config = Configuration::empty();
    for (key, value) in settings {
        config.set(&format!("zastava.{key}"), value, &Origin::Flag("test".into()));
    }
    config.read(read).unwrap_or_else(|faults| panic!("{faults}")).0
}

/// Options of a lab without mutual TLS, with these settings on top.
pub(crate) fn options(settings: &[(&str, &str)]) -> AuthorityOptions {
    let lab =
        [("issuer", "https://authority.test"), ("requireMutualTls", "false"), ("refreshSkewSeconds", "60")];
    read(&[&lab, settings].concat(), AuthorityOptions::read)
}

/// An authority over the server, on tokio's clock.
pub(crate) fn authority(server: &Server, settings: &[(&str, &str)]) -> Authority {
    let key = Arc::new(DpopKey::generate());
    authority_with_key(server, settings, key, &Telemetry::detached())
}

pub(crate) fn authority_with_key(
    server: &Server,
    settings: &[(&str, &str)],
    key: Arc<DpopKey>,
    telemetry: &Telemetry,
) -> Authority {
    Authority::with_clock(&options(settings), server.service(), key, telemetry, TokioClock::new())
}

pub(crate) fn tokens(server: &Server, settings: &[(&str, &str)]) -> Tokens {
    Tokens::new(authority(server, settings))
}

/// A certificate authority with what it issued, in a directory.
pub(crate) struct Pki {
    pub(crate) dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { dir: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(pki.bundle(), pki.issuer.pem()).unwrap();
        pki
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Chain and key files of a client certificate.
    pub(crate) fn client(&self, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = self.issue(name, ExtendedKeyUsagePurpose::ClientAuth);
        let path = |end: &str| self.dir.path().join(format!("client-{end}.pem"));
        std::fs::write(path("chain"), chain).unwrap();
        std::fs::write(path("key"), key).unwrap();
        (path("chain"), path("key"))
    }

    /// Chain and key files of a server's certificate.
    pub(crate) fn server(&self, name: &str) {
        let (chain, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(self.dir.path().join("server-chain.pem"), chain).unwrap();
        std::fs::write(self.dir.path().join("server-key.pem"), key).unwrap();
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Serves `service` over TLS to clients with a certificate of this authority, on a free port.
    pub(crate) async fn serve(&self, service: HttpService) -> TlsServer {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (chain, key) = self.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(accept(listener, tokio_rustls::TlsAcceptor::from(Arc::new(config)), service));
        TlsServer { port, task }
    }
}

/// Stops when dropped.
pub(crate) struct TlsServer {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl TlsServer {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Each answer says how long the client's certificate is, which tells two of them apart, and how
/// many came with it.
async fn accept(listener: tokio::net::TcpListener, tls: tokio_rustls::TlsAcceptor, service: HttpService) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, service) = (tls.clone(), service.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let chain = stream.get_ref().1.peer_certificates().unwrap();
            let shown = [chain[0].len(), chain.len()];
            let service = hyper::service::service_fn(move |request| forward(service.clone(), request, shown));
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    service: HttpService,
    request: Request<hyper::body::Incoming>,
    [certificate_bytes, certificates]: [usize; 2],
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut answer = service.oneshot(Request::from_parts(parts, body)).await.unwrap();
    answer.headers_mut().insert("client-certificate-bytes", certificate_bytes.into());
    answer.headers_mut().insert("client-certificates", certificates.into());
    Ok(answer.map(Full::new))
}

/// The request's proof as a server without tokens looks at it.
pub(crate) fn received(request: &Request<Bytes>) -> ReceivedProof<'_> {
    ReceivedProof {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        access_token: None,
        thumbprint: None,
    }
}

/// A claim of the request's proof.
pub(crate) fn claim(request: &Request<Bytes>, name: &str) -> Value {
    let proof = request.headers()["dpop"].to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()[name].take()
}

/// Both forms of `Debug`.
pub(crate) fn debug_of(value: &impl std::fmt::Debug) -> String {
    format!("{value:?} {value:#?}")
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// RFC 9110 section 5.6.7.
pub(crate) fn http_date(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.unix_seconds()).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
}
