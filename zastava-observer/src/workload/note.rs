//! What is noted of a workload while it runs.

use std::sync::Arc;

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::Workload;
use crate::inspect::Seen;
use crate::posture::Known;

/// Which workload a note is about. Its main process is known where the note was made by the observer itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Noted {
    pub(crate) engine: Engine,
    /// [`Workload::key`].
    pub(crate) key: String,
    /// The main process of the run that is meant; `None` for the one that runs now.
    pub(crate) pid: Option<u32>,
}

/// Something that starts and stops no workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is time to look at the workload's processes again.
    Look(Look),
    /// Scanner said how the image is signed, after the start was told.
    Posture(Known),
    /// A process was started in the container from outside, as `kubectl exec` does.
    Exec(ExecSession),
}

/// A process that an engine has started in a container beside the main process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecSession {
    /// The engine's id for it.
    pub(crate) id: String,
    /// The process, in the node's pid namespace.
    pub(crate) pid: u32,
    /// When the engine reported it.
    pub(crate) at: Timestamp,
}

/// A later look at a workload's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Counts from 0.
    pub(crate) number: usize,
    /// What was told of them by now.
    pub(crate) seen: Arc<Seen>,
}

impl Noted {
    /// The run of this workload.
    pub(crate) fn run_of(workload: &Workload) -> Self {
        Self { engine: workload.engine, key: workload.key.clone(), pid: Some(workload.pid) }
    }

    /// Whether the workload is the one that is meant.
    pub(crate) fn means(&self, workload: &Workload) -> bool {
        self.engine == workload.engine
            && self.key == workload.key
            && self.pid.is_none_or(|pid| pid == workload.pid)
    }
}
