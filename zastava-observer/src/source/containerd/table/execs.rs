//! Processes that are started in containers from outside.

use zastava_core::contract::EventKind;
use zastava_core::vocabulary::Engine;

use super::{Action, Facts, TaskTable};
use crate::losses::Reason;
use crate::source::containerd::event::ContainerKey;
use crate::workload::{Change, ExecSession, Note, Noted};

/// The most processes that wait for the start of their container to be told.
const WAITING_MAX: usize = 16;
/// The most processes that wait for the first list.
const EARLY_MAX: usize = 64;

impl TaskTable {
    /// A process was started in a container. It is told after the container's start.
    pub(super) fn exec(&mut self, container: &ContainerKey, exec: ExecSession) -> Vec<Action> {
        let runs = self.tasks.iter_mut().find(|(key, task)| {
            key.namespace == container.namespace && key.id == container.id && task.exit.is_none()
        });
        let lost = |reason| vec![Action::Lost(reason, EventKind::Drift)];
        match runs {
            None if self.first_lists.is_some() && self.early.len() < EARLY_MAX => {
                self.early.push((container.clone(), exec));
                Vec::new()
            }
            None => lost(Reason::UnknownWorkload),
            // Whoever comes into a pod's sandbox comes into no workload.
            Some((_, task)) if matches!(task.facts, Facts::Known(None)) => Vec::new(),
            Some((key, task)) if task.is_told => vec![Action::Report(noted(key.workload(), exec))],
            Some((_, task)) if task.execs.len() < WAITING_MAX => {
                task.execs.push(exec);
                Vec::new()
            }
            Some(_) => lost(Reason::QueueFull),
        }
    }

    /// What the list that was handled just now says of processes that came in before it.
    pub(super) fn early_execs(&mut self) -> Vec<Action> {
        let early = std::mem::take(&mut self.early).into_iter();
        early.flat_map(|(container, exec)| self.exec(&container, exec)).collect()
    }
}

pub(super) fn noted(key: String, exec: ExecSession) -> Change {
    Change::Noted(Noted { engine: Engine::Containerd, key, pid: None }, Note::Exec(exec))
}
