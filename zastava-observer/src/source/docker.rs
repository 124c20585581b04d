//! Docker Engine through its own API: the stream of events for speed, lists for completeness.
//!
//! Docker gives a reader of events 100 ms and then leaves the event out, without a word. So every event is taken off the stream
//! at once, into a bounded queue. An event that finds the queue full is counted as lost, and everything is listed again. A list
//! names every container that runs, so whatever the stream left out is found
//! (docs/design/observer.md#how-is-docker-engine-observed).

mod answers;
mod arrivals;
mod client;
mod container;
mod error;
mod lines;
mod watcher;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use zastava_core::vocabulary::Engine;

use self::answers::Event;
use self::arrivals::Arrivals;
use self::client::Client;
use self::error::ClientError;
use self::watcher::Watcher;
use super::moby::Moby;
use super::runs::Runs;
use super::session::{Connect, Ended, keep_connected};
use super::{Changes, Processes, SourceHealth, WorkloadSource};
use crate::losses::{Losses, Reason};

/// The most events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one Docker Engine.
#[derive(Debug)]
pub(super) struct Docker {
    sockets: Vec<PathBuf>,
    processes: Processes,
    interval: Duration,
    arguments_max: usize,
    losses: Losses,
    moby: Moby,
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("Docker Engine ended the stream of events")]
    StreamEnded,
    #[error("no socket of Docker Engine is configured")]
    NoSocket,
}

pub(super) type SessionEnd = Ended<SessionError>;

impl From<SessionError> for SessionEnd {
    fn from(error: SessionError) -> Self {
        Self::Failed(error)
    }
}

impl From<ClientError> for SessionEnd {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.into())
    }
}

impl Docker {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Vec<PathBuf>,
        processes: Processes,
        interval: Duration,
        arguments_max: usize,
        losses: Losses,
        moby: Moby,
    ) -> Self {
        Self { sockets, processes, interval, arguments_max, losses, moby }
    }

    /// Whether Docker Engine answers on any of the sockets.
    pub(super) async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// The first socket on which Docker Engine answers, and its version.
    async fn connect(&self) -> Result<(Client, String), SessionError> {
        let mut failure = None;
        for socket in &self.sockets {
            let client = Client::new(socket.clone());
            match client.version().await {
                Ok(version) => return Ok((client, version)),
                // The first socket is the most likely one, so its failure is the one that is reported.
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        Err(failure.unwrap_or(SessionError::NoSocket))
    }
}

#[async_trait]
impl WorkloadSource for Docker {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let (losses, metrics) = (self.losses.clone(), health.metrics().clone());
        let arrivals = Arrivals { queue, losses, metrics, last: None };
        let runs = Runs::default();
        let mut watched = Watched {
            docker: *self,
            changes,
            runs,
            was_listed: false,
            arrivals,
            queued,
            was_connected: false,
        };
        keep_connected(&mut watched, &mut health).await;
    }
}

/// What outlives a connection: events that wait and runs that are told.
struct Watched {
    docker: Docker,
    changes: Changes,
    runs: Runs,
    was_listed: bool,
    arrivals: Arrivals,
    queued: mpsc::Receiver<Event>,
    was_connected: bool,
}

#[async_trait]
impl Connect for Watched {
    type Error = SessionError;

    async fn session(&mut self, health: &mut SourceHealth) -> SessionEnd {
        let (client, version) = match self.docker.connect().await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        if std::mem::replace(&mut self.was_connected, true) {
            health.metrics().resubscribed(Engine::Docker);
        }
        let gap = Notify::new();
        let mut watcher = Watcher {
            client: &client,
            version,
            docker: &self.docker,
            changes: &self.changes,
            runs: &mut self.runs,
            was_listed: &mut self.was_listed,
            images: Default::default(),
        };
        tokio::select! {
            biased;
            error = client.read_events(&mut self.arrivals, &gap) => error.into(),
            ended = watcher.run(&mut self.queued, &gap, health) => ended,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        while let Ok(event) = self.queued.try_recv() {
            self.docker.losses.add(Reason::Ended, event.kind(), 1);
        }
    }
}
