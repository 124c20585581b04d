//! All state that the threads share. Every decision is made here, in short steps that do no I/O.
//!
//! A step runs under the lock of [`SharedQueue`]. A step that changes something others wait for collects their
//! wakers, which run after the lock is released.

mod consuming;
mod producing;
mod shared;
mod storing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

pub(crate) use shared::{QueueHandle, SharedQueue};

use crate::counts::{Counts, DropCounts};
use crate::format::CURSOR_BYTES;
use crate::lane::Lane;
use crate::options::BufferOptions;
use crate::stats::{Stats, StorageHealth};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) options: Arc<BufferOptions>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) health: StorageHealth,
    /// True once the store is open. Until then sequence numbers are provisional.
    pub(crate) has_store: bool,
    is_write_failing: bool,
    pub(crate) is_closing: bool,
    /// The worker retries failed operations until this deadline.
    pub(crate) close_by: Option<Instant>,
    pub(crate) has_ended: bool,
    refused: DropCounts,
    /// Memory use of all lanes. Recomputed whenever a block leaves memory.
    ring_bytes: usize,
    ring_records: u64,
    /// Counts of the directory before this opening.
    acked_before: u64,
    dropped_before: DropCounts,
    evicted_since_push: u64,
    batches: u64,
    pub(crate) consumer: Option<Waker>,
    waiters: BTreeMap<u64, Waiter>,
    waiters_so_far: u64,
    to_wake: Vec<Waker>,
    /// True when the worker has something to do.
    pub(crate) has_work: bool,
    is_worker_waiting: bool,
}

/// A future of a producer that waits.
#[derive(Debug, Default)]
struct Waiter {
    waker: Option<Waker>,
    /// Class and number of the record that the future waits for.
    record: Option<(usize, u64)>,
    /// True once that record was dropped from memory.
    is_dropped: bool,
}

impl Queue {
    pub(crate) fn new(options: BufferOptions) -> Self {
        let lanes = (0..options.classes()).map(|_| Lane::in_memory()).collect();
        Self { options: Arc::new(options), lanes, ..Self::default() }
    }

    pub(crate) fn wake_consumer(&mut self) {
        self.to_wake.extend(self.consumer.take());
    }

    pub(crate) fn wake_waiters(&mut self) {
        self.to_wake.extend(self.waiters.values_mut().filter_map(|waiter| waiter.waker.take()));
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut dropped = Counts::default();
        self.lanes.iter().for_each(|lane| dropped.merge(&lane.dropped()));
        Stats {
            accepted: self.lanes.iter().map(Lane::accepted).sum(),
            acked: self.lanes.iter().map(|lane| lane.cursor.acked).sum(),
            pending: self.lanes.iter().map(Lane::pending).sum(),
            in_memory: self.lanes.iter().map(Lane::in_memory_records).sum(),
            dropped: DropCounts(dropped),
            refused: self.refused.clone(),
            acked_before: self.acked_before,
            dropped_before: self.dropped_before.clone(),
            disk_bytes: self.disk_bytes(),
            set_aside_bytes: self.set_aside_bytes,
            ring_bytes: self.ring_bytes,
        }
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        if !self.has_store {
            return 0;
        }
        let of_lanes: u64 = self.lanes.iter().map(|lane| lane.disk_bytes() + CURSOR_BYTES as u64).sum();
        of_lanes + self.set_aside_bytes
    }

    pub(crate) fn is_ring_filling(&self) -> bool {
        self.ring_bytes > self.options.ring_bytes / 2 || self.ring_records > self.options.ring_records / 2
    }

    fn count_ring(&mut self) {
        let sizes = self.lanes.iter().flat_map(Lane::block_sizes);
        let sum = |(bytes, records), (more_bytes, more_records)| (bytes + more_bytes, records + more_records);
        (self.ring_bytes, self.ring_records) = sizes.fold((0, 0), sum);
    }
}
