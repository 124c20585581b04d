//! HTTPS for API servers: HTTP/1.1 over TLS 1.2 or 1.3, bounded everywhere, drained at the end.
//!
//! API servers speak HTTP/1.1 to webhooks and keep connections open (kubernetes PR 82090). They go on
//! using them after an endpoint has left its Service (kubernetes issue 127335). So a shutdown has two
//! steps. First readiness fails, new connections are still taken, and every answer closes its
//! connection. Then the listener closes and reviews in flight are finished.

mod body;
mod certificate;
mod connection;
mod deadline;
mod peer;
mod refusal;
mod request;
mod room;
mod slots;
mod turns;
mod watched;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zastava_core::program::{Check, Shutdown};

use crate::error::Error;
use crate::options::{LimitOptions, WebhookOptions};
use connection::Connection;
use peer::Peer;
use refusal::Reason;
use slots::Slots;

pub(crate) use certificate::Certificates;
pub use certificate::check_certificate;
pub(crate) use request::Endpoint;

/// How long a shutdown waits for reviews in flight. No API server waits longer.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);

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
        let slots = Slots::new(self.limits.connections_max);
        let (closing, refusals) = (Shutdown::new(), endpoint.refusals());
        let connection = Connection {
            certificates: self.certificates,
            endpoint: Arc::new(endpoint),
            refusals: Arc::clone(&refusals),
            draining: shutdown.clone(),
            closing: closing.clone(),
        };
        let mut connections = JoinSet::new();
        let mut drained = pin!(async {
            shutdown.begun().await;
            ready.fails("shutting down");
            tokio::time::sleep(self.drain).await;
        });
        let mut warm = pin!(warm);
        let mut is_warm = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut warm, if !is_warm => {
                    is_warm = true;
                    if !shutdown.has_begun() {
                        ready.holds();
                    }
                    continue;
                }
                () = &mut drained => break,
            };
            match accepted {
                Ok((stream, address)) => match slots.take(Peer::of(address), Instant::now()) {
                    Some(slot) => {
                        let connection = connection.clone();
                        connections.spawn(async move { connection.serve(stream, slot).await });
                    }
                    None => refusals.add(Reason::Connections, Some(address.ip()), &"none gives way"),
                },
                Err(error) => {
                    refusals.add(Reason::Accept, None, &error);
                    // Out of descriptors. Waits for connections to end instead of spinning.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        closing.begin();
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(IN_FLIGHT_TIMEOUT, all).await.is_err() {
            tracing::warn!("stopped while reviews were in flight");
        }
    }
}
