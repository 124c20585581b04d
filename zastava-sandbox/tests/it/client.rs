//! A client driven by hand: each request on a connection of its own, each header as the test wants.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::{Clock as _, ManualClock, Timestamp};
use zastava_core::http_service::BoxError;
use zastava_sandbox::{Sandbox, SandboxOptions};

pub(crate) const EVENTS: &str = "/api/v1/scanner/runtime/events";
pub(crate) const POLICY: &str = "/api/v1/scanner/policy/runtime";
pub(crate) const SCOPES: &str = "aud:scanner api:scanner.runtime.write";

/// A sandbox whose clock stands still, and a client that it knows.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) key: DpopKey,
    with_certificate: TlsConnector,
    without_certificate: TlsConnector,
    _directory: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let directory = tempfile::tempdir().expect("has a place for files");
        let clock = Arc::new(ManualClock::new(Timestamp::now()));
        let mut options = SandboxOptions::new(directory.path().join("sandbox"));
        options.clock = clock.clone();
        change(&mut options);
        let sandbox = Sandbox::start(options).await.expect("starts");
        let files = sandbox.files();
        let key = DpopKey::from_file(&files.dpop_key).expect("is a key");
        let read = |path: &Path| std::fs::read_to_string(path).expect("reads");
        let certificate = read(&files.client_certificate);
        let with_certificate = connector(&files.ca_bundle, Some((&certificate, &read(&files.client_key))));
        let without_certificate = connector(&files.ca_bundle, None);
        Self { sandbox, clock, key, with_certificate, without_certificate, _directory: directory }
    }

    pub(crate) fn token_uri(&self) -> Uri {
        format!("{}token", self.sandbox.issuer()).parse().expect("is a URI")
    }

    pub(crate) fn scanner_uri(&self, path: &str) -> Uri {
        format!("{}{path}", self.sandbox.scanner_url().to_string().trim_end_matches('/'))
            .parse()
            .expect("is a URI")
    }

    /// A proof by the bench's own key.
    pub(crate) fn proof(&self, uri: &Uri, token: Option<&str>, nonce: Option<&str>) -> String {
        self.proof_by(&self.key, &Method::POST, uri, token, nonce)
    }

    pub(crate) fn proof_by(
        &self,
        key: &DpopKey,
        method: &Method,
        uri: &Uri,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> String {
        let issued_at = self.clock.now();
        key.proof(&ProofRequest { method, uri, access_token: token, nonce, issued_at }).unwrap()
    }

    /// Sends with the client certificate.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Answer, BoxError> {
        send(&self.with_certificate, request).await
    }

    pub(crate) async fn send_without_certificate(&self, request: Request<Bytes>) -> Answer {
        send(&self.without_certificate, request).await.expect("answers")
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        let request = Request::get(uri).body(Bytes::new()).expect("is a request");
        self.send(request).await.expect("answers")
    }

    pub(crate) fn token_request(&self, form: &str, proof: Option<&str>) -> Request<Bytes> {
        let mut request = Request::post(self.token_uri())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form.to_owned()))
            .expect("is a request");
        if let Some(proof) = proof {
            request.headers_mut().insert("dpop", HeaderValue::from_str(proof).expect("is a value"));
        }
        request
    }

    /// A token request that does everything right but what `form` says.
    pub(crate) async fn ask_token(&self, form: &str) -> Answer {
        let uri = self.token_uri();
        let nonce = self.authority_nonce().await;
        let proof = self.proof(&uri, None, Some(&nonce));
        self.send(self.token_request(form, Some(&proof))).await.expect("answers")
    }

    pub(crate) async fn authority_nonce(&self) -> String {
        let proof = self.proof(&self.token_uri(), None, None);
        let request = self.token_request(&form(SCOPES), Some(&proof));
        self.send(request).await.expect("answers").nonce()
    }

    pub(crate) async fn token(&self, scopes: &str) -> String {
        let answer = self.ask_token(&form(scopes)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["access_token"].as_str().expect("has a token").to_owned()
    }

    /// A request to Scanner with the given credentials.
    pub(crate) fn scanner_request(
        &self,
        path: &str,
        authorization: &str,
        proof: &str,
        body: impl Into<Bytes>,
    ) -> Request<Bytes> {
        Request::post(self.scanner_uri(path))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .header("dpop", proof)
            .body(body.into())
            .expect("is a request")
    }

    pub(crate) async fn scanner_nonce(&self, token: &str) -> String {
        let proof = self.proof(&self.scanner_uri(EVENTS), Some(token), None);
        let request = self.scanner_request(EVENTS, &format!("DPoP {token}"), &proof, "{}");
        self.send(request).await.expect("answers").nonce()
    }

    /// Does everything right: a token, a nonce, a proof.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, BoxError> {
        let token = self.token(SCOPES).await;
        let nonce = self.scanner_nonce(&token).await;
        let proof = self.proof(&self.scanner_uri(path), Some(&token), Some(&nonce));
        self.send(self.scanner_request(path, &format!("DPoP {token}"), &proof, body)).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("is text")).unwrap_or_default()
    }

    pub(crate) fn nonce(&self) -> String {
        let nonce = self.header("dpop-nonce").to_owned();
        assert!(!nonce.is_empty(), "no nonce in {self:?}");
        nonce
    }
}

/// The form of a right token request.
pub(crate) fn form(scopes: &str) -> String {
    let scopes = scopes.replace(' ', "+").replace(':', "%3A");
    format!("grant_type=client_credentials&client_id=zastava-runtime&scope={scopes}")
}

/// An envelope around a minimal event.
pub(crate) fn event(id: &str) -> Value {
    serde_json::json!({
        "schemaVersion": "zastava.runtime.event@v1.0",
        "event": {
            "eventId": id, "when": "2026-11-23T12:34:56Z", "kind": "ContainerStart",
            "tenant": "acme", "node": "node-1", "runtime": {"engine": "containerd"},
            "workload": {"platform": "kubernetes", "containerId": "containerd://4f1a"},
        },
    })
}

pub(crate) fn batch(events: &[Value]) -> Bytes {
    serde_json::json!({"batchId": "b", "events": events}).to_string().into()
}

pub(crate) fn connector(ca_bundle: &Path, identity: Option<(&str, &str)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_bundle).expect("is a certificate")).expect("is a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_root_certificates(roots);
    let config = match identity {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("is a chain");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("is a key");
            config.with_client_auth_cert(chain, key).expect("fits")
        }
        None => config.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// Whether a server on loopback shows a certificate for this name.
pub(crate) async fn shows(tls: &TlsConnector, name: &'static str, port: u16) -> Result<(), BoxError> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tls.connect(ServerName::try_from(name)?, tcp).await?;
    Ok(())
}

pub(crate) async fn send(tls: &TlsConnector, request: Request<Bytes>) -> Result<Answer, BoxError> {
    let uri = request.uri().clone();
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    let tcp = TcpStream::connect((host, port)).await?;
    let stream = tls.connect(ServerName::try_from(host.to_owned())?, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    let authority = uri.authority().ok_or("no authority")?.as_str();
    parts.headers.insert(header::HOST, HeaderValue::from_str(authority)?);
    parts.uri = uri.path_and_query().ok_or("no path")?.as_str().parse()?;
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
