//! A workload as its engine describes it, and the changes that workload sources report.

mod declared;
mod note;

use std::sync::Arc;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{self, EventKind, Evidence};
use zastava_core::vocabulary::Engine;

pub use self::declared::{DeclaredProcess, DeclaredUser, PathVariables};
pub(crate) use self::note::{ExecSession, Look, Note, Noted};
use crate::inspect::PreparedProgram;
use crate::losses::{Losses, Reason};

/// A workload and its main process: a container, or on the host engine a service, scope or session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// The engine that runs it.
    pub engine: Engine,
    /// The engine's own version.
    pub engine_version: Option<String>,
    /// Identifies the workload among all workloads of its engine, which may use an id once in each of its
    /// namespaces.
    pub key: String,
    /// The id with the engine in front: `containerd://<id>`, `host://<id>`.
    pub id: String,
    /// The main process, in the node's pid namespace; 0 if it ended before the engine was asked for it.
    pub pid: u32,
    /// When the main process started, in clock ticks since boot; `None` when it ended before it was read.
    pub start_ticks: Option<u64>,
    /// When the workload started; `None` when the engine does not say.
    pub started_at: Option<Timestamp>,
    /// What the main process's cgroup path must contain; `None` when the engine does not say.
    pub cgroup: Option<String>,
    /// Names, image and owner, as the event carries them.
    pub description: contract::Workload,
    /// Program and arguments of the container's specification; empty without one.
    pub entrypoint: Vec<String>,
    /// Program and arguments that the image declares; empty if the engine does not show them.
    pub image_entrypoint: Vec<String>,
    /// Where these facts came from, and why others are missing.
    pub evidence: Vec<Evidence>,
    /// What was found of its program before that ran; `None` if nobody looked in time.
    pub(crate) prepared: Option<Arc<PreparedProgram>>,
    /// The process that its specification declares, of a workload that was not seen before its program ran.
    pub(crate) declared: Option<Arc<DeclaredProcess>>,
}

impl Workload {
    /// Whether both are the same run. A container that is started again keeps its id and gets another
    /// main process.
    pub(crate) fn is_same_run(&self, other: &Self) -> bool {
        (self.engine, &self.key, self.pid) == (other.engine, &other.key, other.pid)
            && may_be_same_start(self.start_ticks, other.start_ticks)
    }
}

/// Whether two reads of one pid can have seen the same process. A read without start ticks came after
/// the process had ended and excludes nothing.
pub(crate) fn may_be_same_start(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// What a workload source reports.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A workload started.
    Started(Box<Workload>),
    /// A workload runs whose start no event of the engine reported: a list shows it.
    Found(Box<Workload>),
    /// A workload stopped.
    Stopped {
        /// The engine that ran it.
        engine: Engine,
        /// [`Workload::key`].
        key: String,
        /// Its main process. A report that arrives late does not stop the next run.
        pid: u32,
        /// When it stopped.
        at: Timestamp,
        /// The exit status of its main process.
        exit_status: Option<u32>,
        /// No event of the engine reported it: lists show it.
        reconciled: bool,
    },
    /// All workloads of the engine that run now. A workload that is missing has stopped.
    Listed {
        /// The engine that was listed.
        engine: Engine,
        /// What runs.
        workloads: Vec<Workload>,
    },
    /// Workloads of the engine are not followed any longer. They have not stopped; its source does not watch them.
    Unfollowed {
        /// The engine that was followed until now.
        engine: Engine,
        /// How the keys of these workloads begin; `None` if the engine itself is not followed any longer.
        below: Option<String>,
    },
    /// Something about a workload that runs. It changes nothing of what runs.
    Noted(Noted, Note),
}

impl Change {
    /// Nobody works on the change any more.
    pub(crate) fn lost(&self, reason: Reason, losses: &Losses) {
        let kind = match self {
            Self::Started(_) | Self::Found(_) => EventKind::ContainerStart,
            Self::Stopped { .. } => EventKind::ContainerStop,
            Self::Noted(_, Note::Exec(_)) => EventKind::Drift,
            // The next list says the same, and a look that is not taken has seen nothing.
            Self::Listed { .. } | Self::Unfollowed { .. } => return,
            Self::Noted(_, Note::Look(_) | Note::Posture(_)) => return,
        };
        losses.add(reason, kind, 1);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zastava_core::vocabulary::Platform;

    use super::*;

    /// A workload of the host whose start ticks are its pid.
    pub(crate) fn workload(key: &str, pid: u32) -> Workload {
        Workload {
            engine: Engine::Host,
            engine_version: None,
            key: key.to_owned(),
            id: format!("host://{key}"),
            pid,
            start_ticks: Some(u64::from(pid)),
            started_at: None,
            cgroup: None,
            description: contract::Workload::new(Platform::Vm),
            entrypoint: Vec::new(),
            image_entrypoint: Vec::new(),
            evidence: Vec::new(),
            prepared: None,
            declared: None,
        }
    }
}
