//! Changes that were lost before an event could be made of them. The outbox has them in its accounting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use zastava_core::contract::EventKind;

/// Why a change was lost: the label `reason` of `zastava_buffer_drops_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The engine's events came faster than they could be handled.
    QueueFull,
    /// The engine's event could not be decoded.
    Undecodable,
    /// The engine has more tasks than are remembered.
    TooManyTasks,
    /// More workloads run than are followed.
    TooManyWorkloads,
    /// A process was started in a container that is not followed.
    UnknownWorkload,
    /// It repeated what the workload's events had told.
    Coalesced,
    /// The workload, or all of them together, told more than somebody can read.
    RateLimited,
    /// The observer ended before the change was worked on.
    Ended,
}

impl Reason {
    /// Whether an event was left out on purpose: nobody has to act.
    pub(crate) fn is_suppression(reason: &str) -> bool {
        [Self::Coalesced, Self::RateLimited].iter().any(|suppression| suppression.as_str() == reason)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Undecodable => "undecodable",
            Self::TooManyTasks => "too_many_tasks",
            Self::TooManyWorkloads => "too_many_workloads",
            Self::UnknownWorkload => "unknown_workload",
            Self::Coalesced => "coalesced",
            Self::RateLimited => "rate_limited",
            Self::Ended => "ended",
        }
    }
}

/// Counts of lost changes. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses(Arc<Mutex<LossCounts>>);

/// By reason, and the kind of the event that was not made.
pub(crate) type LossCounts = BTreeMap<(Reason, EventKind), u64>;

impl Losses {
    pub(crate) fn add(&self, reason: Reason, kind: EventKind, count: u64) {
        if count > 0 {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry((reason, kind)).or_default() += count;
        }
    }

    pub(crate) fn counts(&self) -> LossCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
