//! What the servers record and tests look at.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::counts::Counts;
use crate::fault::FaultQueue;
use crate::received::ReceivedEvents;

/// Everything that changes while a sandbox runs, and a signal for each change.
#[derive(Debug)]
pub(crate) struct Activity {
    record: Mutex<Record>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) counts: Counts,
    pub(crate) events: ReceivedEvents,
    pub(crate) faults: FaultQueue,
}

impl Activity {
    pub(crate) fn new(events_kept_max: usize) -> Self {
        let record = Record {
            counts: Counts::default(),
            events: ReceivedEvents::new(events_kept_max),
            faults: FaultQueue::default(),
        };
        Self { record: Mutex::new(record), changed: watch::Sender::new(()) }
    }

    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut Record) -> R) -> R {
        look(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the record and wakes all that wait for a change.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Record) -> R) -> R {
        let result = self.look(change);
        self.changed.send_replace(());
        result
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.update(|record| change(&mut record.counts));
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}
