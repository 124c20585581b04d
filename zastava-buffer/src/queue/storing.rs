//! The steps of the worker.

use std::time::Instant;

use super::Queue;
use crate::drop_reason::DropReason;
use crate::lane::Lane;
use crate::stats::{StorageHealth, StorageProblem};

impl Queue {
    /// Puts the lanes that were recovered from the store in front of the records accepted meanwhile. Those get new
    /// numbers, so batches that are out are delivered again.
    pub(crate) fn install(&mut self, lanes: Vec<Lane>, set_aside_bytes: u64) {
        let memory = std::mem::replace(&mut self.lanes, lanes);
        let found = self.stats();
        (self.acked_before, self.dropped_before) = (found.acked, found.dropped);
        for (lane, memory) in self.lanes.iter_mut().zip(memory) {
            lane.adopt(memory, &self.options);
        }
        (self.has_store, self.set_aside_bytes) = (true, set_aside_bytes);
        self.count_ring();
        self.wake_consumer();
    }

    /// Frees the memory of records in the active segment. It holds frames up to `len`, and they are as durable as
    /// [`Commit`](crate::Commit) makes them.
    pub(crate) fn free_written(&mut self, class: usize, len: u64) {
        self.lanes[class].free_written(len);
        self.count_ring();
        self.wake_waiters();
        self.wake_consumer();
    }

    /// Evicts the oldest segment of the lowest class that has one, and never of a class above `class`. Returns that
    /// class, and false if the segment is active: the worker has to seal it first.
    pub(crate) fn evict(&mut self, class: usize) -> Option<(usize, bool)> {
        let oldest = |victim: usize| Some((victim, self.lanes[victim].oldest()?.is_active()));
        let (victim, is_active) = (class..self.lanes.len()).rev().find_map(oldest)?;
        if !is_active {
            self.evicted_since_push += self.lanes[victim].evict(DropReason::Evicted);
            self.wake_consumer();
        }
        Some((victim, !is_active))
    }

    /// Notes that a file was removed. The room is for all classes.
    pub(crate) fn freed(&mut self, class: usize, file: &str) {
        self.lanes[class].garbage.retain(|(name, _)| name != file);
        self.lanes.iter_mut().for_each(|lane| lane.is_full = false);
        self.has_work = true;
        self.wake_waiters();
    }

    /// Returns true if a commit should not wait for a larger group: a flush waits for it, memory fills up, or the
    /// buffer is closing.
    pub(crate) fn is_urgent(&self, class: usize) -> bool {
        self.is_ring_filling() || self.is_closing || self.lanes[class].is_flushing()
    }

    /// Notes what is wrong with writing and with reading.
    pub(crate) fn set_health(&mut self, writing: Option<StorageProblem>, reading: Option<StorageProblem>) {
        let cause = writing.or(reading);
        let before = match self.health {
            StorageHealth::Ok => None,
            StorageHealth::Degraded { cause, .. } => Some(cause),
        };
        if (cause, writing.is_some()) != (before, self.is_write_failing) {
            self.wake_waiters();
        }
        self.is_write_failing = writing.is_some();
        if cause != before {
            let since = Instant::now();
            self.health = cause.map_or(StorageHealth::Ok, |cause| StorageHealth::Degraded { cause, since });
        }
    }
}
