//! An HTTPS client that shows what it was served, and certificates to serve.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection that is kept open, as an API server keeps it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The leaf that was served.
    pub(crate) certificate: Vec<u8>,
    ended: tokio::task::JoinHandle<hyper::Result<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        let review: Value = serde_json::from_slice(&self.body).unwrap();
        review["response"].clone()
    }

    pub(crate) fn closes(&self) -> bool {
        self.headers.get(header::CONNECTION).is_some_and(|value| value == "close")
    }
}

/// Who connects: a local address, and a certificate with its key in PEM, if it shows one.
#[derive(Clone, Default)]
pub(crate) struct Client {
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) identity: Option<(String, String)>,
}

impl Client {
    /// Another host of the loopback network.
    pub(crate) fn host(number: u8) -> Self {
        Self { ip: Some(Ipv4Addr::new(127, 0, 0, number)), ..Self::default() }
    }

    pub(crate) async fn tcp(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(ip) = self.ip {
            socket.bind((ip, 0).into())?;
        }
        socket.connect(address).await
    }

    pub(crate) async fn tls(&self, address: SocketAddr, ca: &Path) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
                config
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = self.tcp(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    pub(crate) async fn open(&self, address: SocketAddr, ca: &Path) -> std::io::Result<Connection> {
        let tls = self.tls(address, ca).await?;
        let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(std::io::Error::other)?;
        Ok(Connection { sender, certificate, ended: tokio::spawn(connection) })
    }
}

pub(crate) async fn tls(address: SocketAddr, ca: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    Client::default().tls(address, ca).await
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, ca: &Path) -> std::io::Result<Self> {
        Client::default().open(address, ca).await
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn ended(self) {
        let _ = self.ended.await;
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) async fn review(&mut self, target: &str, review: &Value) -> Result<Answer, hyper::Error> {
        self.send(post(target, review.to_string())).await
    }
}

pub(crate) fn post(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(target)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A certificate authority with what it issued last, in a directory as Kubernetes mounts a Secret:
/// `tls.crt` and `tls.key` lead through the symlink `..data`.
pub(crate) struct SecretVolume {
    pub(crate) directory: PathBuf,
    generation: u32,
}

impl SecretVolume {
    pub(crate) fn new(directory: &Path, certificate: &str, key: &str) -> Self {
        let directory = directory.join("secret");
        std::fs::create_dir(&directory).unwrap();
        let mut volume = Self { directory, generation: 0 };
        volume.swap(certificate, key);
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), volume.directory.join(name)).unwrap();
        }
        volume
    }

    /// The kubelet's sequence: a new directory, a new symlink renamed over the old one, the old
    /// directory removed.
    pub(crate) fn swap(&mut self, certificate: &str, key: &str) {
        let name = |generation: u32| format!("..2026_11_20_{generation}");
        self.generation += 1;
        let fresh = self.directory.join(name(self.generation));
        std::fs::create_dir(&fresh).unwrap();
        std::fs::write(fresh.join("tls.crt"), certificate).unwrap();
        std::fs::write(fresh.join("tls.key"), key).unwrap();
        let unfinished = self.directory.join("..data_tmp");
        std::os::unix::fs::symlink(name(self.generation), &unfinished).unwrap();
        std::fs::rename(&unfinished, self.directory.join("..data")).unwrap();
        let _ = std::fs::remove_dir_all(self.directory.join(name(self.generation - 1)));
    }
}

/// A self-signed certificate for localhost and its key, in PEM.
pub(crate) fn self_signed() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}
