//! Where workloads come from: one trait, one stream of changes.

mod containerd;
mod host;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EngineIdentity, Evidence, Workload};
use zastava_core::program::Check;
use zastava_core::telemetry::Gauge;
use zastava_core::vocabulary::Signal;

pub(crate) use containerd::Containerd;
pub(crate) use host::Host;
pub use host::host_container;

/// Readiness fails when the source has not worked for so long.
const SOURCE_SILENCE_MAX: Duration = Duration::from_secs(30);

/// A workload and its main process, as its engine knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// What names it among all workloads of the node: an engine may use an id once in each of its
    /// namespaces.
    pub key: String,
    /// The engine in front: `containerd://<id>`, `host://<id>`.
    pub id: String,
    /// The main process, in the node's pid namespace.
    pub pid: u32,
    /// When the main process started, in clock ticks since boot, where it could be read.
    pub start_ticks: Option<u64>,
    /// When it started, where the engine says so.
    pub started_at: Option<Timestamp>,
    /// What its cgroup path must contain, where the engine says so.
    pub cgroup: Option<String>,
    /// Which engine, and which version of it.
    pub runtime: EngineIdentity,
    /// What it is, for the event.
    pub workload: Workload,
    /// Program and arguments as its specification has them; empty where there is none.
    pub entrypoint: Vec<String>,
    /// Where these facts came from, and why others are missing.
    pub evidence: Vec<Evidence>,
}

impl Container {
    /// One run of the workload: a container that is started again has the same id and another
    /// process.
    pub(crate) fn same_run(&self, other: &Self) -> bool {
        self.key == other.key && self.pid == other.pid && same_ticks(self.start_ticks, other.start_ticks)
    }
}

/// Whether two looks at one pid saw one process; a look that came too late to read them proves nothing.
pub(crate) fn same_ticks(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// What a source saw.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A workload began to run.
    Started(Box<Container>),
    /// A workload ended.
    Stopped {
        /// [`Container::key`].
        key: String,
        /// Its main process, so that a late word does not end the next run.
        pid: u32,
        /// When.
        at: Timestamp,
        /// How its main process ended.
        exit_status: Option<u32>,
    },
    /// Everything that runs now: whatever else is believed to run does not.
    Snapshot(Vec<Container>),
}

/// The tracker does not listen any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// A source's way to say what it sees: bounded, and slow when the tracker is.
#[derive(Clone, Debug)]
pub(crate) struct Changes(mpsc::Sender<Change>);

impl Changes {
    /// A channel for at most `capacity` changes.
    pub(crate) fn channel(capacity: usize) -> (Self, mpsc::Receiver<Change>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    pub(crate) async fn send(&self, change: Change) -> Result<(), Closed> {
        self.0.send(change).await.map_err(|_| Closed)
    }
}

/// Something that knows which workloads run on this node.
#[async_trait]
pub(crate) trait ContainerRuntime: Send {
    /// Tells every change until nobody listens. Failures are the source's own to survive; it shows
    /// them in `condition`.
    async fn watch(self: Box<Self>, changes: Changes, condition: SourceCondition);
}

/// Shows whether a source works: metric, readiness and log.
#[derive(Debug)]
pub(crate) struct SourceCondition {
    engine: &'static str,
    up: Gauge,
    check: Check,
    /// When it last worked, if it ever did.
    worked: Option<Instant>,
    /// The last word was a failure, and it was logged.
    is_failing: bool,
}

impl SourceCondition {
    pub(crate) fn new(engine: &'static str, up: Gauge, check: Check) -> Self {
        up.set(&[engine], 0.0);
        Self { engine, up, check, worked: None, is_failing: false }
    }

    /// The source works.
    pub(crate) fn works(&mut self) {
        if self.is_failing || self.worked.is_none() {
            tracing::info!(engine = self.engine, "the source of workloads works");
            self.up.set(&[self.engine], 1.0);
            self.check.holds();
        }
        self.worked = Some(Instant::now());
        self.is_failing = false;
    }

    /// The source failed. Only the first failure of a row is a warning.
    pub(crate) fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.is_failing {
            tracing::debug!(engine = self.engine, error, "the source of workloads failed again");
        } else {
            tracing::warn!(engine = self.engine, error, "the source of workloads failed; it is tried again");
        }
        self.is_failing = true;
        self.up.set(&[self.engine], 0.0);
        if self.worked.is_none_or(|worked| worked.elapsed() >= SOURCE_SILENCE_MAX) {
            self.check.fails(format!("{}: {error}", self.engine));
        }
    }
}

pub(crate) fn evidence(signal: Signal, value: impl Into<String>) -> Evidence {
    Evidence::new(signal, value)
}
