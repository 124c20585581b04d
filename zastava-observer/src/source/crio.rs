//! CRI-O through CRI: lists, and its stream of events where that works.
//!
//! CRI-O ends the stream at once unless `enable_pod_events` is set, which it is not by default. So a list comes at each interval,
//! and events only make it faster (docs/design/observer.md#how-is-cri-o-observed).

mod client;
mod container;
mod error;
mod messages;
#[cfg(test)]
mod tests;
mod watcher;

#[cfg(feature = "fuzzing")]
pub use self::container::container_info;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use zastava_core::vocabulary::Engine;

use self::client::Client;
use self::error::{ClientError, refused};
use self::messages::Event;
use self::watcher::{Memory, Watcher};
use super::session::{Connect, Ended, keep_connected};
use super::{Changes, Processes, SourceHealth, SourceMetrics, WorkloadSource};

/// The most events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one CRI-O.
#[derive(Debug)]
pub(super) struct Crio {
    sockets: Vec<PathBuf>,
    processes: Processes,
    interval: Duration,
    arguments_max: usize,
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("CRI-O ended the stream of events")]
    StreamEnded,
    #[error(
        "more than {QUEUE_EVENTS_MAX} container events wait; the connection is dropped and all containers are listed again"
    )]
    Overflow,
    #[error("no socket of CRI-O is configured")]
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

impl Crio {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Vec<PathBuf>,
        processes: Processes,
        interval: Duration,
        arguments_max: usize,
    ) -> Self {
        Self { sockets, processes, interval, arguments_max }
    }

    /// Whether CRI-O answers on any of the sockets.
    pub(super) async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// The first socket on which CRI-O answers, and its version.
    async fn connect(&self) -> Result<(Client, String), SessionError> {
        let mut failure = None;
        for socket in &self.sockets {
            match Client::connect(socket).await {
                Ok(connected) => return Ok(connected),
                // The first socket is the most likely one, so its failure is the one that is reported.
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        Err(failure.unwrap_or(SessionError::NoSocket))
    }
}

#[async_trait]
impl WorkloadSource for Crio {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let memory = Memory::default();
        let mut watched = Watched { crio: *self, changes, memory, was_connected: false };
        keep_connected(&mut watched, &mut health).await;
    }
}

/// What outlives a connection: what happened in between is told by comparison.
struct Watched {
    crio: Crio,
    changes: Changes,
    memory: Memory,
    was_connected: bool,
}

#[async_trait]
impl Connect for Watched {
    type Error = SessionError;

    async fn session(&mut self, health: &mut SourceHealth) -> SessionEnd {
        let (client, version) = match self.crio.connect().await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        let metrics = health.metrics().clone();
        if std::mem::replace(&mut self.was_connected, true) {
            metrics.resubscribed(Engine::CriO);
        }
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let mut watcher = Watcher {
            client: &client,
            version,
            crio: &self.crio,
            changes: &self.changes,
            memory: &mut self.memory,
            images: Default::default(),
            was_listed: false,
        };
        tokio::select! {
            biased;
            error = read_stream(client.clone(), queue, metrics) => error.into(),
            ended = watcher.run(queued, health) => ended,
        }
    }
}

/// Takes every event off the stream as soon as it arrives: CRI-O sends to all readers in turn, and waits for each. A stream that
/// ends without an event, or that CRI-O does not have, is left: lists tell everything.
async fn read_stream(client: Client, queue: mpsc::Sender<Event>, metrics: SourceMetrics) -> SessionError {
    let Ok(mut stream) = client.events().await else { return std::future::pending().await };
    let mut has_events = false;
    loop {
        match stream.message().await {
            Ok(Some(event)) => {
                has_events = true;
                metrics.heard(Engine::CriO);
                // It only says where to look, so that a list makes up for it.
                if queue.try_send(event).is_err() {
                    metrics.overflowed(Engine::CriO);
                    return SessionError::Overflow;
                }
            }
            Ok(None) | Err(_) if !has_events => return std::future::pending().await,
            Ok(None) => return SessionError::StreamEnded,
            Err(status) => return refused("GetContainerEvents", status).into(),
        }
    }
}
