//! containerd through its own API: a subscription for speed, lists for completeness.
//!
//! containerd queues events for a slow subscriber without bound. So the stream is read into a bounded
//! queue at once; if the queue is full, the connection is dropped and everything is listed again. A
//! list names every task, so whatever the stream lost is found within the poll interval
//! (docs/design/observer.md#why-is-cris-getcontainerevents-never-called).

mod client;
mod container;
mod image;
mod messages;

mod tasks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::client::{Client, ClientError, refused};
use self::messages::Envelope;
use self::tasks::TaskWatcher;
use super::session::{Connect, Ended, keep_connected};
use super::{Changes, SourceHealth, WorkloadSource};
use crate::blocking::blocking;
use crate::procfs::{self, ProcTree};
use crate::reads::{Place, READ_TIME_MAX, Reads};

/// The most task events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one containerd.
#[derive(Debug)]
pub(super) struct Containerd {
    sockets: Vec<PathBuf>,
    processes: Processes,
    interval: Duration,
    arguments_max: usize,
}

/// The processes that tasks name.
#[derive(Clone, Debug)]
pub(super) struct Processes {
    pub(super) tree: ProcTree,
    pub(super) reads: Reads,
}

impl Processes {
    /// When the process started, in clock ticks since boot; `None` if it has ended.
    async fn start_ticks(&self, pid: u32) -> Option<u64> {
        let (tree, mut reader) = (self.tree.clone(), self.reads.reader(READ_TIME_MAX));
        let read = move |_: &_| tree.process(pid).and_then(|process| procfs::stat(&process));
        let stat = blocking(move || reader.read(Place::Process { pid, file: "stat" }, read)).await;
        Some(stat.ok()?.ok()?.start_ticks)
    }
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("containerd ended the stream of events")]
    StreamEnded,
    #[error(
        "more than {QUEUE_EVENTS_MAX} task events wait; the connection is dropped and all tasks are listed again"
    )]
    Overflow,
    #[error("no containerd socket is configured")]
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

impl Containerd {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Vec<PathBuf>,
        processes: Processes,
        interval: Duration,
        arguments_max: usize,
    ) -> Self {
        Self { sockets, processes, interval, arguments_max }
    }

    /// Whether containerd answers on any of the sockets.
    pub(super) async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// The first socket on which containerd answers, and its version.
    async fn connect(&self) -> Result<(Client, String), SessionError> {
        let mut failure = None;
        for socket in &self.sockets {
            match connect(socket).await {
                Ok(connected) => return Ok(connected),
                // The first socket is the most likely one, so its failure is the one that is reported.
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        Err(failure.unwrap_or(SessionError::NoSocket))
    }
}

async fn connect(socket: &Path) -> Result<(Client, String), ClientError> {
    let client = Client::connect(socket).await?;
    let version = client.version().await?;
    Ok((client, version))
}

#[async_trait]
impl WorkloadSource for Containerd {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        keep_connected(&*self, &changes, &mut health).await;
    }
}

#[async_trait]
impl Connect for Containerd {
    type Error = SessionError;

    async fn session(&self, changes: &Changes, health: &mut SourceHealth) -> SessionEnd {
        let (client, version) = match self.connect().await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let stream = read_stream(client.clone(), queue);
        let mut watcher =
            TaskWatcher::new(client, version, self.processes.clone(), self.arguments_max, changes.clone());
        // Subscribe first, list second: both report what happens in between, and the tracker emits it once.
        tokio::select! {
            biased;
            error = stream => error.into(),
            ended = watcher.run(queued, self.interval, health) => ended,
        }
    }
}

/// Takes every event off the stream as soon as it arrives.
async fn read_stream(client: Client, queue: mpsc::Sender<Envelope>) -> SessionError {
    let mut stream = match client.subscribe().await {
        Ok(stream) => stream,
        Err(error) => return error.into(),
    };
    loop {
        match stream.message().await {
            Ok(Some(envelope)) => {
                if queue.try_send(envelope).is_err() {
                    return SessionError::Overflow;
                }
            }
            Ok(None) => return SessionError::StreamEnded,
            Err(status) => return refused("Events/Subscribe", status).into(),
        }
    }
}
