//! HTTPS for API servers: HTTP/1.1 over TLS 1.2 or 1.3, bounded everywhere, drained at the end.
//!
//! API servers speak HTTP/1.1 to webhooks and keep connections open (kubernetes PR 82090). They go on
//! using them after an endpoint has left its Service (kubernetes issue 127335). So a shutdown has two
//! steps. First readiness fails, new connections are still taken, and every answer closes its
//! connection. Then the listener closes and reviews in flight are finished.

mod body;
mod certificate;
mod deadline;
mod request;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use zastava_core::program::{Check, Shutdown};

use crate::error::Error;
use crate::options::{LimitOptions, WebhookOptions};

pub(crate) use certificate::Certificates;
pub(crate) use request::Endpoint;

/// How long a client may take for its TLS handshake, and again for its first request's header.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle. API servers close theirs after 90 s; with a longer time here, no
/// request meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
/// How long a shutdown waits for reviews in flight. No API server waits longer.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request header.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// The listener, bound and not yet serving.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Arc<Certificates>,
    limits: LimitOptions,
    drain: Duration,
}

impl Server {
    pub(crate) async fn bind(
        options: &WebhookOptions,
        certificates: Arc<Certificates>,
    ) -> Result<Self, Error> {
        let address = options.listen;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, certificates, limits: options.limits, drain: options.drain })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown has begun and every review in flight is answered. Answers reviews from
    /// the start, and becomes ready when `warm` ends.
    pub(crate) async fn serve(
        self,
        endpoint: Endpoint,
        ready: &Check,
        warm: impl Future<Output = ()>,
        shutdown: Shutdown,
    ) {
        let connections = self.limits.connections_max;
        let permits = Arc::new(Semaphore::new(connections));
        let connection = Connection {
            acceptor: TlsAcceptor::from(tls_config(self.certificates)),
            endpoint: Arc::new(endpoint),
            draining: shutdown.clone(),
            closing: Shutdown::new(),
        };
        let mut drained = pin!(async {
            shutdown.begun().await;
            ready.fails("shutting down");
            tokio::time::sleep(self.drain).await;
        });
        let mut warm = pin!(warm);
        let mut is_warm = false;
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                next = next => next,
                () = &mut warm, if !is_warm => {
                    is_warm = true;
                    if !shutdown.has_begun() {
                        ready.holds();
                    }
                    continue;
                }
                () = &mut drained => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors. Waits for connections to end instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let connection = connection.clone();
            tokio::spawn(async move {
                let _permit = permit;
                connection.serve(stream).await;
            });
        }
        drop(self.listener);
        connection.closing.begin();
        let all = u32::try_from(connections).unwrap_or(u32::MAX);
        if tokio::time::timeout(IN_FLIGHT_TIMEOUT, permits.acquire_many(all)).await.is_err() {
            tracing::warn!("stopped while reviews were in flight");
        }
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Connection {
    acceptor: TlsAcceptor,
    endpoint: Arc<Endpoint>,
    /// Begun when answers close their connections.
    draining: Shutdown,
    /// Begun when connections without a request in flight end.
    closing: Shutdown,
}

impl Connection {
    async fn serve(&self, stream: TcpStream) {
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
