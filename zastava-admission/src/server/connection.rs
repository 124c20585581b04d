//! One connection: the TLS handshake, the requests on it, its end.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zastava_core::program::Shutdown;

use super::certificate::Certificates;
use super::refusal::{Reason, Refusals};
use super::request::Endpoint;
use super::slots::{HEAD_TIMEOUT, Phase, Slot};
use super::watched::Watched;

/// How often a connection's deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A client that dials for a request sends it within this time. Others dial ahead.
const DIALLED_FOR_REQUEST: Duration = Duration::from_millis(500);
/// The largest request header, and the most that is read at once.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// What serves a connection; cloned for each.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) certificates: Arc<Certificates>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) refusals: Arc<Refusals>,
    /// A connection that is older ends with its next answer.
    pub(super) age_max: Duration,
    /// Begun when answers close their connections.
    pub(super) draining: Shutdown,
    /// Begun when connections without a request in flight end.
    pub(super) closing: Shutdown,
}

impl Connection {
    pub(super) async fn serve(&self, stream: TcpStream, slot: Slot) {
        // The caller's time runs during the handshake too, which takes a while on a busy machine.
        let accepted = Instant::now();
        // Answers are one small write each.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::select! {
            tls = tokio::time::timeout(HEAD_TIMEOUT, self.handshake(stream)) => {
                tls.unwrap_or_else(|_| Err((Reason::HandshakeTimeout, "the peer did not finish it".to_owned())))
            }
            () = slot.gives_way() => Err((Reason::GaveWay, "during the handshake".to_owned())),
        };
        match handshake {
            Ok(tls) => self.serve_requests(tls, Arc::new(slot), accepted).await,
            Err((reason, detail)) => self.refuse(reason, &slot, &detail),
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, (Reason, String)> {
        let acceptor = TlsAcceptor::from(self.certificates.server_config());
        acceptor.accept(stream).await.map_err(|error| {
            use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
            let is_clients = matches!(cause, Some(InvalidCertificate(_) | NoCertificatesPresented));
            let reason = if is_clients { Reason::ClientCertificate } else { Reason::TlsHandshake };
            (reason, error.to_string())
        })
    }

    async fn serve_requests(&self, tls: TlsStream<TcpStream>, slot: Arc<Slot>, accepted: Instant) {
        slot.enter(Phase::Idle);
        let ends = accepted + jittered(self.age_max);
        let (greeted, is_first) = (Instant::now(), AtomicBool::new(true));
        let service = service_fn(|request| {
            let began = match slot.phase() {
                (Phase::Head, since) => since,
                _ => Instant::now(),
            };
            let dialled_for_it = began.saturating_duration_since(greeted) < DIALLED_FOR_REQUEST;
            let is_first = is_first.swap(false, Ordering::Relaxed);
            let began = if is_first && dialled_for_it { accepted } else { began };
            let (slot, last) = (Arc::clone(&slot), || self.draining.has_begun() || Instant::now() >= ends);
            async move {
                let response = self.endpoint.respond(request, began, &slot, last).await;
                slot.enter(Phase::Idle);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(
            hyper::server::conn::http1::Builder::new()
                // The phases have deadlines of their own.
                .header_read_timeout(None)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(Watched::new(tls, Arc::clone(&slot))), service)
        );
        let (mut ticks, mut closes) = (tokio::time::interval(TICK), false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    // A connection that the client ends early is not an error of the server.
                    if let Err(error) = ended && error.is_parse() {
                        self.refuse(Reason::Head, &slot, &error.to_string());
                    }
                    return;
                }
                () = slot.gives_way() => match slot.phase() {
                    (Phase::Idle, _) => {
                        // A request that is on its way is still answered. Its place is taken, so this ends soon.
                        connection.as_mut().graceful_shutdown();
                        let _ = tokio::time::timeout(HEAD_TIMEOUT, connection.as_mut()).await;
                        return;
                    }
                    _ => return self.refuse(Reason::GaveWay, &slot, "in the middle of a request"),
                },
                _ = ticks.tick() => if slot.is_overdue(Instant::now()) {
                    if slot.phase().0 == Phase::Head {
                        self.refuse(Reason::HeadTimeout, &slot, "the peer did not finish the head of its request");
                    }
                    return;
                },
                () = self.closing.begun(), if !closes => {
                    closes = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn refuse(&self, reason: Reason, slot: &Slot, detail: &str) {
        self.refusals.add(reason, Some(slot.peer().address()), &detail);
    }
}

/// Four fifths to six fifths of a time: what was opened together does not close together.
fn jittered(time: Duration) -> Duration {
    // Each state is seeded anew.
    let part = RandomState::new().hash_one(()) % 4096;
    time * 4 / 5 + time * 2 / 5 * part as u32 / 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_and_stay_near_the_limit() {
        let limit = Duration::from_secs(600);
        let ages: std::collections::BTreeSet<_> = (0..100).map(|_| jittered(limit)).collect();
        assert!(ages.iter().all(|age| (limit * 4 / 5..limit * 6 / 5).contains(age)), "{ages:?}");
        assert!(ages.len() > 50);
    }
}
