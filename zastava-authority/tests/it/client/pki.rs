//! A certificate authority, and a real TLS server with certificates of it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tower::ServiceExt as _;
use zastava_core::http_service::HttpService;

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
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
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
