//! Everything the threads share, under one lock. All decisions are made here, in short steps that do no I/O;
//! whoever changes something that others wait for wakes them after the lock is released.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::config::{Config, WhenFull};
use crate::entry::{Admission, Durability, Entry, Kind, Refusal};
use crate::error::Error;
use crate::format::{CURSOR_BYTES, FRAME_HEADER_BYTES};
use crate::lane::Lane;
use crate::stats::{Cause, Health, Stats};
use crate::tally::{DropReason, Drops, Tally};

#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The worker waits here.
    work: Condvar,
    /// Whoever closes waits here.
    pub(crate) ended: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) health: Health,
    /// There is a directory: numbers are final.
    pub(crate) has_store: bool,
    /// Nothing can be written at this moment.
    is_stuck: bool,
    pub(crate) is_closing: bool,
    /// Until then what fails is tried again.
    pub(crate) close_by: Option<Instant>,
    pub(crate) has_ended: bool,
    refused: Drops,
    /// Of all lanes; counted anew whenever something leaves memory.
    ring_bytes: usize,
    ring_records: u64,
    /// What the directory had counted before this opening.
    acked_before: u64,
    dropped_before: Drops,
    evicted_since_push: u64,
    batches: u64,
    pub(crate) consumer: Option<Waker>,
    waiters: BTreeMap<u64, Waiter>,
    waiters_so_far: u64,
    to_wake: Vec<Waker>,
    /// There is something to do for the worker.
    pub(crate) has_work: bool,
    is_worker_waiting: bool,
}

/// Who waits for something, apart from the consumer.
#[derive(Debug, Default)]
struct Waiter {
    waker: Option<Waker>,
    /// The record that it is about.
    record: Option<(usize, u64)>,
    is_dropped: bool,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let lanes = (0..config.classes()).map(|_| Lane::in_memory()).collect();
        let state = State { config: Arc::new(config), lanes, ..State::default() };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    /// No foreign code runs under the lock, so a poisoned one can only follow a bug of ours that was reported
    /// by its panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step. Wakers run after it, without the lock: they are foreign code.
    pub(crate) fn update<R>(&self, step: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = step(&mut state);
        let to_wake = std::mem::take(&mut state.to_wake);
        let wake_worker = state.has_work && state.is_worker_waiting;
        drop(state);
        if wake_worker {
            self.work.notify_one();
        }
        to_wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Tries the step again whenever something changed, until it has an answer. Letting go of the future leaves
    /// nothing behind.
    pub(crate) async fn wait<R>(&self, mut step: impl FnMut(&mut State, u64) -> Option<R>) -> R {
        struct Place<'a>(&'a Shared, Option<u64>);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.update(|state| self.1.map(|id| state.waiters.remove(&id)));
            }
        }
        let mut place = Place(self, None);
        std::future::poll_fn(|context| {
            self.update(|state| {
                let id = *place.1.get_or_insert_with(|| {
                    state.waiters_so_far += 1;
                    state.waiters_so_far
                });
                let Some(result) = step(state, id) else {
                    state.waiters.entry(id).or_default().waker = Some(context.waker().clone());
                    return Poll::Pending;
                };
                Poll::Ready(result)
            })
        })
        .await
    }

    /// The worker waits until there is work, at most until the time is over.
    pub(crate) fn wait_for_work(&self, until: Option<Instant>) {
        let mut state = self.lock();
        if !state.has_work {
            state.is_worker_waiting = true;
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let waited = self.work.wait_timeout(state, until.map_or(Duration::MAX, left));
            waited.unwrap_or_else(PoisonError::into_inner).0.is_worker_waiting = false;
        }
    }

    /// Whether the worker ended in time.
    pub(crate) fn wait_for_end(&self, timeout: Duration) -> bool {
        let ended = self.ended.wait_timeout_while(self.lock(), timeout, |state| !state.has_ended);
        ended.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }
}

/// What producers ask for.
impl State {
    pub(crate) fn push(&mut self, kind: Kind, payload: &[u8], crc: u32) -> Result<u64, Refusal> {
        let policy = self.config.policy(kind);
        let evicts = policy.when_full == WhenFull::DropOldest;
        let class = usize::from(policy.class);
        self.make_room(class, evicts, payload.len())?;
        let seq = self.lanes[class].push(kind, payload, crc, evicts, &self.config);
        self.ring_bytes += FRAME_HEADER_BYTES + payload.len();
        self.ring_records += 1;
        self.has_work = true;
        self.wake_consumer();
        Ok(seq)
    }

    fn make_room(&mut self, class: usize, evicts: bool, bytes: usize) -> Result<(), Refusal> {
        if bytes > self.config.record_bytes_max {
            return Err(Refusal::TooLarge);
        }
        if self.is_closing {
            return Err(Refusal::Closed);
        }
        if self.lanes[class].is_full && !evicts {
            return Err(Refusal::Full);
        }
        while self.ring_bytes + FRAME_HEADER_BYTES + bytes > self.config.ring_bytes
            || self.ring_records >= self.config.ring_records
        {
            // First what is settled and only waits to be written.
            let is_freed = self.lanes.iter_mut().any(Lane::forget_settled);
            let has_room = is_freed || evicts && self.drop_from_ring(class);
            if !has_room {
                return Err(Refusal::Full);
            }
            self.count_ring();
        }
        Ok(())
    }

    /// The lowest class first, and none above `class`.
    fn drop_from_ring(&mut self, class: usize) -> bool {
        for victim in (class..self.lanes.len()).rev() {
            let Some((numbers, dropped)) = self.lanes[victim].drop_from_ring() else { continue };
            self.evicted_since_push += dropped;
            for waiter in self.waiters.values_mut() {
                if waiter.record.is_some_and(|(class, seq)| class == victim && numbers.contains(&seq)) {
                    waiter.is_dropped = true;
                    self.to_wake.extend(waiter.waker.take());
                }
            }
            return true;
        }
        false
    }

    pub(crate) fn admitted(&mut self, seq: u64) -> Admission {
        match std::mem::take(&mut self.evicted_since_push) {
            0 => Admission::Stored { seq },
            count => Admission::Evicted { seq, count },
        }
    }

    /// The push was refused and nobody tries it again.
    pub(crate) fn refused(&mut self, kind: Kind, refusal: Refusal) -> Refusal {
        let reason = match refusal {
            Refusal::TooLarge => DropReason::TooLarge,
            Refusal::Full => DropReason::Full,
            Refusal::Closed => DropReason::Closed,
        };
        self.refused.0.add((Some(kind), Some(reason)), 1);
        refusal
    }

    /// How safe a record is; `None` if it was dropped from memory.
    pub(crate) fn durability(&self, class: usize, seq: u64) -> Option<Durability> {
        let on_disk = if self.config.is_synced() { Durability::Power } else { Durability::Process };
        self.lanes[class].safety(seq, if self.has_store { on_disk } else { Durability::Memory })
    }

    /// Whether a record is as safe as asked for; `None` while that can still become true.
    pub(crate) fn is_safe(&self, class: usize, seq: u64, level: Durability) -> Option<Result<u64, Error>> {
        let is_stuck = self.has_ended || self.is_stuck || self.lanes[class].is_full;
        match self.durability(class, seq) {
            None => Some(Err(Error::Dropped { seq })),
            Some(reached) if reached >= level => Some(Ok(seq)),
            _ if is_stuck || level == Durability::Power && !self.config.is_synced() => {
                Some(Err(Error::NotDurable))
            }
            _ => None,
        }
    }

    /// The classes that hold something, and the last number of each.
    pub(crate) fn flush(&mut self, level: Durability) -> Vec<(usize, u64)> {
        self.has_work = true;
        let last = self.lanes.iter_mut().map(|lane| lane.flush(level));
        last.enumerate().filter(|(_, seq)| *seq > 0).collect()
    }

    /// The waiter is told if this record is dropped from memory, where that would leave no trace of its number.
    pub(crate) fn watch(&mut self, id: u64, class: usize, seq: u64) -> bool {
        let waiter = self.waiters.entry(id).or_default();
        waiter.record = Some((class, seq));
        waiter.is_dropped
    }
}

/// What the consumer asks for.
impl State {
    /// Batch of the highest class that has something; none if nothing can be had without the worker.
    pub(crate) fn next_batch(&mut self, records: usize, bytes: usize) -> Option<(usize, u64, Arc<[Entry]>)> {
        let out: usize = self.lanes.iter().map(Lane::batches_out).sum();
        if out >= self.config.batches_max {
            return None;
        }
        self.batches += 1;
        for (class, lane) in self.lanes.iter_mut().enumerate() {
            let entries = lane.next_batch(self.batches, records.max(1), bytes);
            self.has_work |= lane.wants_read;
            if let Some(entries) = entries {
                return Some((class, self.batches, entries));
            }
            // What has to be read first is still before what matters less.
            if lane.wants_read {
                return None;
            }
        }
        None
    }

    pub(crate) fn ack(&mut self, class: usize, id: u64, through: u64) -> u64 {
        // Unless it frees a file, an acknowledgement can wait for the next time the books are due.
        let lane = &mut self.lanes[class];
        let was_dirty = lane.is_dirty;
        let settled = lane.ack(id, through);
        self.has_work |= !was_dirty || !lane.garbage.is_empty();
        self.wake_consumer();
        if self.health != Health::Ok {
            // Memory without a disk behind it has room again.
            self.wake_waiters();
        }
        settled
    }

    pub(crate) fn give_back(&mut self, class: usize, id: u64) {
        self.lanes[class].give_back(id);
        self.wake_consumer();
    }

    pub(crate) fn wake_consumer(&mut self) {
        self.to_wake.extend(self.consumer.take());
    }

    pub(crate) fn wake_waiters(&mut self) {
        self.to_wake.extend(self.waiters.values_mut().filter_map(|waiter| waiter.waker.take()));
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut dropped = Tally::default();
        self.lanes.iter().for_each(|lane| dropped.merge(&lane.dropped()));
        Stats {
            accepted: self.lanes.iter().map(Lane::accepted).sum(),
            acked: self.lanes.iter().map(|lane| lane.cursor.acked).sum(),
            pending: self.lanes.iter().map(Lane::pending).sum(),
            in_memory: self.lanes.iter().map(Lane::in_memory_records).sum(),
            dropped: Drops(dropped),
            refused: self.refused.clone(),
            acked_before: self.acked_before,
            dropped_before: self.dropped_before.clone(),
            disk_bytes: self.disk_bytes(),
            set_aside_bytes: self.set_aside_bytes,
            ring_bytes: self.ring_bytes,
        }
    }
}

/// What the worker asks for.
impl State {
    /// What was found on disk takes its place before what was accepted meanwhile. Batches that are out have
    /// numbers which now mean something else: they come again.
    pub(crate) fn install(&mut self, lanes: Vec<Lane>, set_aside_bytes: u64) {
        let memory = std::mem::replace(&mut self.lanes, lanes);
        let found = self.stats();
        (self.acked_before, self.dropped_before) = (found.acked, found.dropped);
        for (lane, memory) in self.lanes.iter_mut().zip(memory) {
            lane.adopt(memory, &self.config);
        }
        (self.has_store, self.set_aside_bytes) = (true, set_aside_bytes);
        self.count_ring();
        self.wake_consumer();
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        if !self.has_store {
            return 0;
        }
        let of_lanes: u64 = self.lanes.iter().map(|lane| lane.disk_bytes() + CURSOR_BYTES as u64).sum();
        of_lanes + self.set_aside_bytes
    }

    /// What the active segment holds, up to `len`, is as safe as it is going to be.
    pub(crate) fn hand_over(&mut self, class: usize, len: u64) {
        self.lanes[class].hand_over(len);
        self.count_ring();
        self.wake_waiters();
        self.wake_consumer();
    }

    /// Drops the oldest file of the lowest class that has one, and of none above `class`. False if that one is still
    /// written to, so that it must be closed first.
    pub(crate) fn evict(&mut self, class: usize) -> Option<(usize, bool)> {
        let oldest = |victim: usize| Some((victim, self.lanes[victim].oldest()?.is_active()));
        let (victim, is_active) = (class..self.lanes.len()).rev().find_map(oldest)?;
        if !is_active {
            self.evicted_since_push += self.lanes[victim].evict(DropReason::Evicted);
            self.wake_consumer();
        }
        Some((victim, !is_active))
    }

    /// A file is gone, so there is room for all.
    pub(crate) fn freed(&mut self, class: usize, file: &str) {
        self.lanes[class].garbage.retain(|(name, _)| name != file);
        self.lanes.iter_mut().for_each(|lane| lane.is_full = false);
        self.has_work = true;
        self.wake_waiters();
    }

    /// Waiting for a larger group would keep somebody waiting, or cost records since memory fills up.
    pub(crate) fn is_urgent(&self, class: usize) -> bool {
        self.is_ring_filling() || self.is_closing || self.lanes[class].is_flushing()
    }

    pub(crate) fn is_ring_filling(&self) -> bool {
        self.ring_bytes > self.config.ring_bytes / 2 || self.ring_records > self.config.ring_records / 2
    }

    fn count_ring(&mut self) {
        let sizes = self.lanes.iter().flat_map(Lane::block_sizes);
        let sum = |(bytes, records), (more_bytes, more_records)| (bytes + more_bytes, records + more_records);
        (self.ring_bytes, self.ring_records) = sizes.fold((0, 0), sum);
    }

    /// What is wrong with writing, and with reading.
    pub(crate) fn set_health(&mut self, writing: Option<Cause>, reading: Option<Cause>) {
        let cause = writing.or(reading);
        let before = match self.health {
            Health::Ok => None,
            Health::Degraded { cause, .. } => Some(cause),
        };
        if (cause, writing.is_some()) != (before, self.is_stuck) {
            self.wake_waiters();
        }
        self.is_stuck = writing.is_some();
        if cause != before {
            let since = Instant::now();
            self.health = cause.map_or(Health::Ok, |cause| Health::Degraded { cause, since });
        }
    }
}
