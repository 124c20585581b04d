//! One HTTPS listener that can go away and come back at the same port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use zastava_core::program::Shutdown;

use crate::answer::Answer;
use crate::error::Error;

/// Connections answered at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;
/// Connections that the kernel lets wait.
const BACKLOG: u32 = 512;
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a header, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers requests. `None` drops the connection without an answer.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(
        &self,
        request: Request<Incoming>,
        client: Option<CertificateDer<'static>>,
    ) -> impl Future<Output = Option<Answer>> + Send;
}

/// A bound port on which nobody listens: connections are refused, and no other program gets it.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    socket: TcpSocket,
    pub(crate) address: SocketAddr,
}

impl ReservedPort {
    pub(crate) fn new(address: SocketAddr) -> Result<Self, Error> {
        let reserve = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Former connections of the port may be in TIME-WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        reserve().map_err(|source| Error::Listen { address, source })
    }

    fn listen(self) -> Result<TcpListener, Error> {
        let address = self.address;
        self.socket.listen(BACKLOG).map_err(|source| Error::Listen { address, source })
    }
}

/// A listener and its connections. They end when it is dropped.
pub(crate) struct Server<H> {
    address: SocketAddr,
    tls: TlsAcceptor,
    handler: Arc<H>,
    state: Mutex<Listening>,
    shutdown: Shutdown,
}

enum Listening {
    /// With the port, if it could be kept.
    Offline(Option<ReservedPort>),
    Online {
        offline: Shutdown,
        serving: JoinHandle<()>,
    },
    Stopped,
}

impl<H: Handler> Server<H> {
    /// A server that is still offline.
    pub(crate) fn new(port: ReservedPort, tls: ServerConfig, handler: Arc<H>) -> Self {
        Self {
            address: port.address,
            tls: TlsAcceptor::from(Arc::new(tls)),
            handler,
            state: Mutex::new(Listening::Offline(Some(port))),
            shutdown: Shutdown::new(),
        }
    }

    /// Listens. A server that listens already does nothing.
    pub(crate) async fn online(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let reserved = match &mut *state {
            Listening::Offline(reserved) => reserved.take(),
            Listening::Online { offline, serving } if offline.has_begun() => {
                // A caller began to take it offline and was dropped.
                let _ = serving.await;
                None
            }
            Listening::Online { .. } => return Ok(()),
            Listening::Stopped => return Err(Error::Stopped),
        };
        // The state if the port cannot be had.
        *state = Listening::Offline(None);
        let port = reserved.map_or_else(|| ReservedPort::new(self.address), Ok)?;
        let listener = port.listen()?;
        let offline = Shutdown::new();
        let (tls, handler) = (self.tls.clone(), Arc::clone(&self.handler));
        let serving = tokio::spawn(serve(listener, tls, handler, offline.clone(), self.shutdown.clone()));
        *state = Listening::Online { offline, serving };
        Ok(())
    }

    /// Closes the listener and every connection, and keeps the port.
    pub(crate) async fn offline(&self) {
        let mut state = self.state.lock().await;
        if let Listening::Online { offline, serving } = &mut *state {
            offline.begin();
            // The task ends by itself. An error would be its panic, which was printed.
            let _ = serving.await;
            // If that fails, the port is bound again when the server comes back.
            *state = Listening::Offline(ReservedPort::new(self.address).ok());
        }
    }

    /// Closes everything and releases the port.
    pub(crate) async fn stop(&self) {
        self.offline().await;
        *self.state.lock().await = Listening::Stopped;
    }
}

impl<H> Drop for Server<H> {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn serve<H: Handler>(
    listener: TcpListener,
    tls: TlsAcceptor,
    handler: Arc<H>,
    offline: Shutdown,
    shutdown: Shutdown,
) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, tls.clone(), Arc::clone(&handler)));
                }
                // Out of descriptors: wait for connections to end rather than spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
            () = offline.begun() => break,
            () = shutdown.begun() => break,
        }
    }
    // Closing is not enough: a child process that is being started holds a copy until it runs its
    // program, and connections would still be accepted. An error means that the listener has ended.
    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
    drop(listener);
    connections.shutdown().await;
}

async fn serve_connection<H: Handler>(stream: TcpStream, tls: TlsAcceptor, handler: Arc<H>) {
    // Sends small answers at once. A socket that cannot do that still works.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let client = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    let service = service_fn(|request| {
        let (handler, client) = (&handler, client.clone());
        async move { handler.handle(request, client).await.ok_or(Dropped) }
    });
    // An error is the client's: it disconnected or sent nonsense.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped as asked")]
struct Dropped;
