//! One connection: the TLS handshake, the requests on it, its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use zastava_core::program::Shutdown;

use super::certificate::Certificates;
use super::request::Endpoint;

/// How long a client may take for its TLS handshake, and again for its first request's header.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle. API servers close theirs after 90 s; with a longer time here, no
/// request meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
/// The largest request header.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// What serves a connection; cloned for each.
#[derive(Clone)]
pub(super) struct Connection {
    acceptor: TlsAcceptor,
    endpoint: Arc<Endpoint>,
    /// Begun when answers close their connections.
    draining: Shutdown,
    /// Begun when connections without a request in flight end.
    closing: Shutdown,
}

impl Connection {
    pub(super) fn new(
        certificates: Arc<Certificates>,
        endpoint: Endpoint,
        draining: Shutdown,
        closing: Shutdown,
    ) -> Self {
        let acceptor = TlsAcceptor::from(tls_config(certificates));
        Self { acceptor, endpoint: Arc::new(endpoint), draining, closing }
    }

    pub(super) async fn serve(&self, stream: TcpStream) {
        // The caller's time runs during the handshake too, which takes a while on a busy machine.
        let accepted = Instant::now();
        // Answers are one small write each.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, self.acceptor.accept(stream));
        let tls = match handshake.await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        let (first_request, has_begun) = (Notify::new(), AtomicBool::new(false));
        let service = service_fn(|request| {
            first_request.notify_one();
            let began = if has_begun.swap(true, Ordering::Relaxed) { Instant::now() } else { accepted };
            let last = || self.draining.has_begun();
            async move { Ok::<_, Infallible>(self.endpoint.respond(request, began, last).await) }
        });
        let mut connection = pin!(
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_TIMEOUT)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(tls), service)
        );
        // A connection that the client ends early is not an error of the server.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = first_request.notified() => {}
            () = tokio::time::sleep(FIRST_REQUEST_TIMEOUT) => return,
            () = self.closing.begun() => {}
        }
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.closing.begun() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

fn tls_config(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider serves TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
