//! Everything the threads share, under one lock. All decisions are made here, in short steps that do no I/O;
//! whoever changes something that others wait for wakes them after the lock is released.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::config::{CLASSES_MAX, Config, WhenFull};
use crate::entry::{Admission, Durability, Entry, Kind, Refusal};
use crate::format::{CURSOR_BYTES, FRAME_HEADER_BYTES};
use crate::lane::Lane;
use crate::stats::{Cause, Health, Stats};
use crate::tally::{DropReason, Drops};

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The worker waits here.
    work: Condvar,
    /// Whoever closes waits here.
    ended: Condvar,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) health: Health,
    /// How many times the health changed.
    pub(crate) changes: u64,
    /// There is no directory yet: numbers are provisional.
    pub(crate) is_memory_only: bool,
    /// What numbers given without a directory have become, by class, once there is one.
    pub(crate) shifts: Vec<u64>,
    pub(crate) is_closing: bool,
    pub(crate) has_ended: bool,
    refused: Drops,
    /// Of all lanes; counted anew whenever something leaves memory.
    ring_bytes: usize,
    ring_records: u64,
    /// What the directory had counted before this opening.
    pub(crate) acked_before: u64,
    pub(crate) dropped_before: Drops,
    evicted_since_push: u64,
    batches: u64,
    consumer: Option<Waker>,
    waiters: BTreeMap<u64, Waiter>,
    waiters_so_far: u64,
    to_wake: Vec<Waker>,
    /// There is something to do for the worker.
    has_work: bool,
    is_worker_waiting: bool,
}

/// Who waits for what, apart from the consumer.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) wants: Wants,
    pub(crate) waker: Option<Waker>,
    /// The record waited for was dropped.
    pub(crate) is_dropped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Room,
    Safe { class: usize, seq: u64, level: Durability },
    Health { changes: u64 },
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), work: Condvar::new(), ended: Condvar::new() }
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
        let (wake_worker, has_ended) = (state.has_work && state.is_worker_waiting, state.has_ended);
        drop(state);
        if wake_worker {
            self.work.notify_one();
        }
        if has_ended {
            self.ended.notify_all();
        }
        to_wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The worker waits until there is work, at most until the time is over.
    pub(crate) fn wait_for_work(&self, until: Option<Instant>) {
        let mut state = self.lock();
        if !state.has_work {
            state.is_worker_waiting = true;
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(timeout) => {
                    self.work.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.is_worker_waiting = false;
        }
    }

    /// Whether the worker ended in time.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        let lanes = (0..config.classes()).map(|_| Lane::in_memory()).collect();
        Self {
            config,
            lanes,
            set_aside_bytes: 0,
            health: Health::Ok,
            changes: 0,
            is_memory_only: true,
            shifts: vec![0; CLASSES_MAX],
            is_closing: false,
            has_ended: false,
            refused: Drops::default(),
            ring_bytes: 0,
            ring_records: 0,
            acked_before: 0,
            dropped_before: Drops::default(),
            evicted_since_push: 0,
            batches: 0,
            consumer: None,
            waiters: BTreeMap::new(),
            waiters_so_far: 0,
            to_wake: Vec::new(),
            has_work: false,
            is_worker_waiting: false,
        }
    }

    pub(crate) fn push(&mut self, kind: Kind, payload: &[u8], crc: u32) -> Admission {
        let policy = self.config.policy(kind);
        let class = usize::from(policy.class);
        let evicts = policy.when_full == WhenFull::DropOldest;
        let frame_bytes = FRAME_HEADER_BYTES + payload.len();
        if let Err(refusal) = self.make_room(class, evicts, frame_bytes) {
            return Admission::Refused(refusal);
        }
        let block = (self.config.block_bytes(), self.config.block_records());
        let seq = self.lanes[class].push(kind, payload, crc, evicts, block);
        self.ring_bytes += frame_bytes;
        self.ring_records += 1;
        self.has_work = true;
        self.wake_consumer();
        match std::mem::take(&mut self.evicted_since_push) {
            0 => Admission::Stored { seq },
            count => Admission::Evicted { seq, count },
        }
    }

    fn make_room(&mut self, class: usize, evicts: bool, frame_bytes: usize) -> Result<(), Refusal> {
        if frame_bytes - FRAME_HEADER_BYTES > self.config.record_bytes_max {
            return Err(Refusal::TooLarge);
        }
        if self.is_closing {
            return Err(Refusal::Closed);
        }
        if self.lanes[class].is_full && !evicts {
            return Err(Refusal::Full);
        }
        while self.ring_bytes + frame_bytes > self.config.ring_bytes
            || self.ring_records >= self.config.ring_records
        {
            if !evicts || !self.drop_from_ring(class) {
                return Err(Refusal::Full);
            }
        }
        Ok(())
    }

    /// The push was refused and nobody tries it again.
    pub(crate) fn refuse(&mut self, kind: Kind, refusal: Refusal) {
        let reason = match refusal {
            Refusal::TooLarge => DropReason::TooLarge,
            Refusal::Full => DropReason::Full,
            Refusal::Closed => DropReason::Closed,
        };
        self.refused.add(Some(kind), reason, 1);
    }

    /// The lowest class first, and none above `class`.
    fn drop_from_ring(&mut self, class: usize) -> bool {
        for victim in (class..self.lanes.len()).rev() {
            let Some((numbers, dropped)) = self.lanes[victim].drop_from_ring() else { continue };
            self.evicted_since_push += dropped;
            self.count_ring();
            for waiter in self.waiters.values_mut() {
                if let Wants::Safe { class, seq, .. } = waiter.wants
                    && class == victim
                    && numbers.contains(&seq)
                {
                    waiter.is_dropped = true;
                    self.to_wake.extend(waiter.waker.take());
                }
            }
            return true;
        }
        false
    }

    /// Drops the oldest segment of the lowest class that has one and is not above `class`. `None` if a class has
    /// only its active segment, which must be sealed first.
    pub(crate) fn evict(&mut self, class: usize, reason: DropReason) -> Option<Eviction> {
        let victim = (class..self.lanes.len()).rev().find(|victim| self.lanes[*victim].can_evict())?;
        let oldest = self.lanes[victim].segments.iter().find(|segment| !segment.is_settled());
        if oldest.is_some_and(|segment| segment.is_active) {
            return Some(Eviction::SealFirst(victim));
        }
        let records = self.lanes[victim].evict(reason);
        self.evicted_since_push += records;
        self.wake_consumer();
        Some(Eviction::Done(victim, records))
    }

    /// Batch of the highest class that has something; empty if nothing can be had without the worker.
    pub(crate) fn next_batch(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Option<(usize, u64, Vec<Entry>)> {
        let out: usize = self.lanes.iter().map(Lane::batches_out).sum();
        if out >= self.config.batches_max {
            return None;
        }
        self.batches += 1;
        for class in 0..self.lanes.len() {
            let entries = self.lanes[class].next_batch(self.batches, records_max.max(1), bytes_max);
            self.has_work |= self.lanes[class].wants_read();
            if !entries.is_empty() {
                return Some((class, self.batches, entries));
            }
            // What has to be read first is still before what matters less.
            if self.lanes[class].wants_read() {
                return None;
            }
        }
        None
    }

    pub(crate) fn ack(&mut self, class: usize, id: u64, through: u64) -> u64 {
        // Unless it frees a file, an acknowledgement can wait for the next time the books are due.
        let was_dirty = self.lanes[class].is_dirty;
        let settled = self.lanes[class].ack(id, through);
        self.has_work |= !was_dirty || self.lanes[class].is_front_done();
        if self.is_memory_only || self.health != Health::Ok {
            self.lanes[class].forget_settled();
            self.count_ring();
        }
        self.wake_consumer();
        self.wake_waiters();
        settled
    }

    pub(crate) fn give_back(&mut self, class: usize, id: u64) {
        self.lanes[class].give_back(id);
        self.wake_consumer();
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            accepted: 0,
            acked: 0,
            pending: 0,
            in_memory: 0,
            dropped: Drops::default(),
            refused: self.refused.clone(),
            acked_before: self.acked_before,
            dropped_before: self.dropped_before.clone(),
            disk_bytes: self.disk_bytes(),
            set_aside_bytes: self.set_aside_bytes,
            ring_bytes: self.ring_bytes,
        };
        for lane in &self.lanes {
            stats.accepted += lane.accepted();
            stats.acked += lane.cursor.acked;
            stats.pending += lane.pending();
            stats.in_memory += lane.in_memory_records();
            stats.dropped.merge(&lane.dropped());
        }
        stats
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        if self.is_memory_only {
            return 0;
        }
        let of_lanes: u64 = self.lanes.iter().map(|lane| lane.disk_bytes() + CURSOR_BYTES as u64).sum();
        of_lanes + self.set_aside_bytes
    }

    pub(crate) fn count_ring(&mut self) {
        self.ring_bytes = self.lanes.iter().map(Lane::ring_bytes).sum();
        self.ring_records = self.lanes.iter().map(Lane::ring_records).sum();
    }

    pub(crate) fn ring_is_empty(&self, class: usize) -> bool {
        self.lanes[class].ring.is_empty()
    }

    /// Memory fills up, so waiting for a larger group would cost records.
    pub(crate) fn is_ring_filling(&self) -> bool {
        self.ring_bytes > self.config.ring_bytes / 2 || self.ring_records > self.config.ring_records / 2
    }

    pub(crate) fn set_health(&mut self, cause: Option<Cause>) {
        let since = Instant::now();
        let health = match (cause, self.health) {
            (None, _) => Health::Ok,
            (Some(cause), Health::Degraded { cause: before, .. }) if cause == before => self.health,
            (Some(cause), _) => Health::Degraded { cause, since },
        };
        if health != self.health {
            self.health = health;
            self.changes += 1;
        }
        self.wake_waiters();
    }

    /// What became of a record that somebody waits for; `None` while that is open.
    pub(crate) fn outcome(&self, id: u64) -> Option<Outcome> {
        let waiter = self.waiters.get(&id)?;
        match waiter.wants {
            Wants::Room => None,
            Wants::Health { changes } => (self.changes != changes).then_some(Outcome::Reached),
            Wants::Safe { .. } if waiter.is_dropped => Some(Outcome::Dropped),
            Wants::Safe { class, seq, level } => match self.durability(class, seq) {
                None => Some(Outcome::Dropped),
                Some(reached) if reached >= level => Some(Outcome::Reached),
                Some(_) if self.has_ended || self.health != Health::Ok => Some(Outcome::NotNow),
                Some(_) if self.lanes[class].is_full => Some(Outcome::NotNow),
                Some(_) if level == Durability::Power && !self.config.is_synced() => Some(Outcome::NotNow),
                Some(_) => None,
            },
        }
    }

    /// How safe a record is; `None` if it was dropped from memory.
    pub(crate) fn durability(&self, class: usize, seq: u64) -> Option<Durability> {
        let on_disk = if self.config.is_synced() { Durability::Power } else { Durability::Process };
        self.lanes[class].safety(seq, if self.is_memory_only { Durability::Memory } else { on_disk })
    }

    pub(crate) fn add_waiter(&mut self, wants: Wants) -> u64 {
        self.waiters_so_far += 1;
        let waiter = Waiter { wants, waker: None, is_dropped: false };
        self.waiters.insert(self.waiters_so_far, waiter);
        self.has_work = true;
        self.waiters_so_far
    }

    /// Remembers whom to wake; the caller has just seen, under the same lock, that there is reason to wait.
    pub(crate) fn wait(&mut self, id: u64, waker: &Waker) {
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.waker = Some(waker.clone());
        }
    }

    pub(crate) fn remove_waiter(&mut self, id: u64) {
        self.waiters.remove(&id);
    }

    pub(crate) fn wait_for_entries(&mut self, waker: &Waker) {
        self.consumer = Some(waker.clone());
    }

    pub(crate) fn wake_consumer(&mut self) {
        self.to_wake.extend(self.consumer.take());
    }

    pub(crate) fn wake_waiters(&mut self) {
        let ready: Vec<u64> = self.waiters.keys().copied().collect();
        for id in ready {
            let is_done = self.outcome(id).is_some();
            if let Some(waiter) =
                self.waiters.get_mut(&id).filter(|waiter| is_done || waiter.wants == Wants::Room)
            {
                self.to_wake.extend(waiter.waker.take());
            }
        }
    }

    /// Records waited for have the numbers of the directory from now on.
    pub(crate) fn shift_waiters(&mut self) {
        for waiter in self.waiters.values_mut() {
            if let Wants::Safe { class, seq, .. } = &mut waiter.wants {
                *seq = seq.wrapping_add(self.shifts[*class]);
            }
        }
    }

    pub(crate) fn mark_work(&mut self) {
        self.has_work = true;
    }

    pub(crate) fn begin_work(&mut self) {
        self.has_work = false;
    }

    pub(crate) fn is_worker_idle(&self) -> bool {
        !self.has_work
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Reached,
    Dropped,
    NotNow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    Done(usize, u64),
    SealFirst(usize),
}
