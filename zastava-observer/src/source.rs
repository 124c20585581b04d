//! Workload sources: what reports which workloads of this node run. There is one for each engine.
//!
//! A new engine is a module below this one that implements [`WorkloadSource`], and a line in
//! [`Sources`]. A source that holds a connection runs it in a [`session`]
//! (docs/design/observer.md#where-will-exec-hints-go).

mod choice;
mod containerd;
mod crio;
mod docker;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod host;
mod metrics;
mod moby;
mod oci_spec;
mod processes;
mod readiness;
mod repo_digests;
mod runs;
mod session;
mod socket;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub(crate) use self::follow::Sources;
pub(crate) use self::health::SourceHealth;
pub use self::host::host_workload;
pub(crate) use self::metrics::SourceMetrics;
use self::processes::Processes;
use crate::workload::Change;

/// Reports which workloads run.
#[async_trait]
pub(crate) trait WorkloadSource: Send {
    /// Reports every change until nobody listens. The source recovers from its own failures and shows
    /// them in `health`.
    async fn watch(self: Box<Self>, changes: Changes, health: SourceHealth);
}

/// Where a source reports changes. Bounded: a source waits while the pipeline is behind.
#[derive(Clone, Debug)]
pub(crate) struct Changes(mpsc::Sender<Change>);

impl Changes {
    /// A channel for at most `capacity` changes.
    pub(crate) fn channel(capacity: usize) -> (Self, mpsc::Receiver<Change>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Waits until there is room for a change.
    async fn room(&self) -> Result<mpsc::Permit<'_, Change>, Closed> {
        self.0.reserve().await.map_err(|_| Closed)
    }

    async fn report(&self, change: Change) -> Result<(), Closed> {
        self.0.send(change).await.map_err(|_| Closed)
    }
}

/// The pipeline takes no more changes.
#[derive(Debug)]
struct Closed;
