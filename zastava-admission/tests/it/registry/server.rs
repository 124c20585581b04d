//! A small HTTP server that answers as it is told, and remembers what it was asked.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What one request said.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Method, path and query: `HEAD /v2/a/manifests/1`.
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
}

/// Requests in the order of their arrival. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

/// A listener that is not served yet.
pub(crate) struct Unserved(TcpListener);

impl Unserved {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Serves until the runtime of the test ends.
    pub(crate) fn serve<A, F>(self, tls: Option<TlsAcceptor>, answer: A) -> Log
    where
        A: Fn(Seen) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let log = Log::default();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.0.accept().await {
                let (tls, answer, kept) = (tls.clone(), answer.clone(), kept.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, answer, kept).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, answer, kept).await;
                            }
                        }
                    }
                });
            }
        });
        log
    }
}

async fn converse<S, A, F>(stream: S, answer: A, log: Log)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Seen) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = Seen {
            line: format!("{} {}", request.method(), request.uri()),
            authorization: text(request.headers()),
        };
        log.0.lock().unwrap().push(seen.clone());
        let answering = answer(seen);
        async move { Ok::<_, Infallible>(answering.await.map(Full::new)) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn text(headers: &HeaderMap) -> Option<String> {
    headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
}

/// Serves TLS with the pair in these files.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
