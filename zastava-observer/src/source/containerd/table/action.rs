//! What the table asks for, and what it is told.

use zastava_core::contract::EventKind;

use crate::losses::Reason;
use crate::source::containerd::container::TaskKey;
use crate::source::containerd::event::{Bundle, Exit};
use crate::source::containerd::messages::{TaskStatus, Time};
use crate::workload::Change;

/// What is to be done next.
#[derive(Debug)]
pub(in crate::source::containerd) enum Action {
    /// Read the facts of a task that containerd named at this time.
    LookUp { key: TaskKey, seen: Time, why: Why },
    /// Find out whether a task has ended. A list may have said how.
    Confirm { key: TaskKey, start_ticks: Option<u64>, listed: Option<Exit> },
    /// Report a change.
    Report(Change),
    /// A change is lost.
    Lost(Reason, EventKind),
}

/// Why a task is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source::containerd) enum Why {
    /// It waits for its start.
    Created(Bundle),
    /// Its start was reported.
    Started,
    /// Only a list names it. The event of its start may be on its way.
    Listed,
}

/// What came of a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::containerd) enum Verdict {
    /// The task is there.
    Runs,
    Ended(Exit),
    /// containerd does not say.
    Unknown {
        process_is_gone: bool,
    },
}

/// A task in a list.
#[derive(Clone, Debug)]
pub(in crate::source::containerd) struct ListedTask {
    pub(in crate::source::containerd) key: TaskKey,
    pub(in crate::source::containerd) status: TaskStatus,
    pub(in crate::source::containerd) exit: Exit,
    /// When the list was asked for.
    pub(in crate::source::containerd) asked: Time,
}
