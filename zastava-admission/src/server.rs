//! HTTPS for API servers: HTTP/1.1 over TLS 1.2 or 1.3, bounded everywhere, drained at the end.
//!
//! API servers speak HTTP/1.1 to webhooks and keep connections open (kubernetes PR 82090). They go on
//! using them after an endpoint has left its Service (kubernetes issue 127335). A connection that is closed while its next
//! request is on the way loses a review. So a shutdown has three steps:
//!
//! 1. The drain: readiness fails, new connections are still taken, and every answer closes its connection.
//! 2. As long again, if there are connections that have not been told: they wait for their next request. What ends in this
//!    time was told, or closed by its client.
//! 3. The listener closes, idle connections close, and reviews in flight are finished.
//!
//! docs/design/admission.md#when-is-a-connection-closed

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

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zastava_core::program::{Check, Shutdown};

use crate::error::Error;
use crate::options::{LimitOptions, WebhookOptions};
use connection::Connection;
use peer::Peer;
use refusal::{Reason, Refusals};
use slots::Slots;

pub(crate) use certificate::Certificates;
pub use certificate::check_certificate;
pub(crate) use request::Endpoint;

/// How long a shutdown goes on after the drain, for reviews in flight. No API server waits longer.
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
        let (closing, refusals) = (Shutdown::new(), endpoint.refusals());
        let connection = Connection {
            certificates: self.certificates,
            endpoint: Arc::new(endpoint),
            refusals: Arc::clone(&refusals),
            age_max: self.limits.connection_age_max,
            draining: shutdown.clone(),
            closing: closing.clone(),
        };
        let slots = Slots::new(self.limits.connections_max);
        let mut serving =
            Serving { listener: self.listener, slots, connection, refusals, connections: JoinSet::new() };
        let drained = async {
            tokio::select! {
                biased;
                () = shutdown.begun() => {}
                () = warm => ready.holds(),
            }
            shutdown.begun().await;
            ready.fails("shutting down");
            tokio::time::sleep(self.drain).await;
        };
        serving.until(drained, false).await;
        let end = Instant::now() + IN_FLIGHT_TIMEOUT;
        serving.until(tokio::time::sleep(self.drain.min(IN_FLIGHT_TIMEOUT / 2)), true).await;
        let mut connections = serving.close();
        closing.begin();
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout_at(end.into(), all).await.is_err() {
            tracing::warn!("stopped while reviews were in flight");
        }
    }
}

/// A listener with the connections that it has taken.
struct Serving {
    listener: TcpListener,
    slots: Arc<Slots>,
    connection: Connection,
    refusals: Arc<Refusals>,
    connections: JoinSet<()>,
}

impl Serving {
    /// Takes connections until the end, or until none is left if that is asked for.
    async fn until(&mut self, end: impl Future<Output = ()>, or_unused: bool) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                // Before the end for want of connections: a client may have dialled already.
                accepted = self.listener.accept() => self.take(accepted).await,
                Some(_) = self.connections.join_next() => {}
                () = std::future::ready(()), if or_unused && self.connections.is_empty() => return,
            }
        }
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, address)) => match self.slots.take(Peer::of(address), Instant::now()) {
                Some(slot) => {
                    let connection = self.connection.clone();
                    self.connections.spawn(async move { connection.serve(stream, slot).await });
                }
                None => self.refusals.add(Reason::Connections, Some(address.ip()), &"none gives way"),
            },
            Err(error) => {
                self.refusals.add(Reason::Accept, None, &error);
                // Out of descriptors. Waits for connections to end instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Takes no more connections. Returns those that are left.
    fn close(self) -> JoinSet<()> {
        self.connections
    }
}
