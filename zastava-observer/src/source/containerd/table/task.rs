//! One task of the table.

use crate::source::containerd::event::Exit;
use crate::source::containerd::messages::Time;
use crate::workload::{ExecSession, Workload};

/// A task and what is to be told of it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) facts: Facts,
    pub(super) begin: Begin,
    /// It ended before its start could be told.
    pub(super) exit: Option<Ended>,
    /// Processes that were started in it before its own start could be told.
    pub(super) execs: Vec<ExecSession>,
    pub(super) is_told: bool,
    /// A list shows that a created task runs.
    pub(super) is_listed: bool,
    pub(super) is_doubted: bool,
    pub(super) doubts: u8,
}

/// How a task ended, and whether no event said so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) reconciled: bool,
}

/// What is known of a task.
#[derive(Debug)]
pub(super) enum Facts {
    Asked,
    /// `None` is a task that is no workload.
    Known(Option<Box<Workload>>),
}

/// What says that a task is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Created,
    Started(Time),
    Listed,
}

impl Task {
    pub(super) fn new(begin: Begin) -> Self {
        let facts = Facts::Asked;
        Self {
            facts,
            begin,
            exit: None,
            execs: Vec::new(),
            is_told: false,
            is_listed: false,
            is_doubted: false,
            doubts: 0,
        }
    }

    /// Whether an event or a list says that it has started.
    pub(super) fn has_started(&self) -> bool {
        self.begin != Begin::Created || self.is_listed
    }

    /// Whether its facts or its end are asked for.
    pub(super) fn is_open(&self) -> bool {
        self.is_doubted || matches!(self.facts, Facts::Asked)
    }

    pub(super) fn start_ticks(&self) -> Option<u64> {
        match &self.facts {
            Facts::Known(workload) => workload.as_ref()?.start_ticks,
            Facts::Asked => None,
        }
    }
}
