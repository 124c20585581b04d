//! The sockets of engines.

use std::io;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use zastava_core::vocabulary::Engine;

use super::session::{Client, SessionError};
use crate::blocking::blocking;
use crate::hash::fingerprint;
use crate::reads::{Place, READ_TIME_MAX, Reads};

/// How often an idle connection of gRPC is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where one engine may listen, in the order of trying.
#[derive(Clone, Debug)]
pub(super) struct Sockets(Vec<Socket>);

/// One socket.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    path: PathBuf,
    engine: Engine,
    reads: Reads,
}

impl Sockets {
    pub(super) fn new(paths: Vec<PathBuf>, engine: Engine, reads: &Reads) -> Self {
        Self(paths.into_iter().map(|path| Socket { path, engine, reads: reads.clone() }).collect())
    }

    /// The first socket at which the engine answers, and its version.
    pub(super) async fn connect<C: Client>(&self) -> Result<(C, String), SessionError> {
        let mut failure = None;
        for socket in &self.0 {
            match C::connect(socket.clone()).await {
                Ok(connected) => return Ok(connected),
                // The first socket is the most likely one, so its failure is the one that is reported.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.map_or(SessionError::NoSocket(C::ENGINE), SessionError::from))
    }
}

impl Socket {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Connects. The path may lead to a file system that does not answer, and an engine that hangs accepts nobody: so a thread
    /// does it that can be given up.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let (path, mut reader) = (self.path.clone(), self.reads.reader(READ_TIME_MAX));
        let place = self.place();
        let connect = move |_: &_| net::UnixStream::connect(path);
        let stream = blocking(move || reader.read(place, connect)).await.map_err(io::Error::other)??;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    fn place(&self) -> Place {
        Place::Socket { engine: self.engine.as_str(), path: fingerprint(&self.path) }
    }

    /// Connects to a gRPC server. A connection that broke is made again by the next call.
    pub(super) async fn grpc(&self) -> Result<Channel, tonic::transport::Error> {
        let socket = self.clone();
        let connect = move |_| {
            let socket = socket.clone();
            async move { socket.connect().await.map(TokioIo::new) }
        };
        // The name only stands in requests.
        let endpoint = Endpoint::from_static("http://localhost");
        let endpoint = endpoint.connect_timeout(READ_TIME_MAX).http2_keep_alive_interval(KEEP_ALIVE);
        endpoint.connect_with_connector(tower::service_fn(connect)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_hangs_refuses_no_other_of_its_engine() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ["hangs.sock", "answers.sock"].map(|name| directory.path().join(name));
        let _listeners = paths.clone().map(|path| net::UnixListener::bind(path).expect("is free"));
        let reads = Reads::default();
        let Sockets(sockets) = Sockets::new(paths.to_vec(), Engine::Containerd, &reads);
        let (_release, released) = mpsc::channel::<()>();
        let (mut reader, place) = (reads.patient_reader(Duration::from_millis(50)), sockets[0].place());
        let hung = blocking(move || reader.read(place, move |_| released.recv().is_ok())).await;
        assert!(hung.is_err());
        assert!(sockets[0].connect().await.is_err());
        sockets[1].connect().await.expect("it answers");
    }
}
