//! The one that does I/O: writes what is in memory, syncs it, reads ahead for the consumer, frees what is
//! settled. A step takes what to do from the shared state, does it without the lock, and reports back. Time
//! is an argument, so that tests can step through it.

mod read;
mod recover;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use recover::{Recovered, recover};
pub(crate) use recover::{locate, read_footer};
use write::Active;

use crate::config::Commit;
use crate::error::Error;
use crate::format::Cursor;
use crate::lane::Lane;
use crate::mistake::{Mistake, planted};
use crate::scan::Frames;
use crate::state::{Shared, State};
use crate::stats::{Cause, Health, OpenReport};
use crate::store::{Removal, Store};

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Opens the store, again and again until it can be opened.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn Store>, Error> + Send>;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    opener: Opener,
    store: Option<Box<dyn Store>>,
    tails: Vec<Tail>,
    open_retry: Retry,
    is_finishing: bool,
}

/// What the worker knows of a lane and nobody else has to.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    active: Option<Active>,
    /// Segments made by this opening.
    serial: u32,
    /// Of the cursor: its latest generation, and the slot that the next one goes to.
    generation: u64,
    slot: u64,
    saved: Option<Instant>,
    synced: Option<Instant>,
    reader: Option<(Frames, u64)>,
    read_failures: u32,
    write_retry: Retry,
    free_retry: Retry,
    read_retry: Retry,
}

/// Waiting longer after each failure, up to a second.
#[derive(Debug, Default)]
struct Retry {
    at: Option<Instant>,
    wait: Duration,
}

impl Retry {
    fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now >= at)
    }

    fn failed(&mut self, now: Instant) {
        self.wait = (self.wait * 2).clamp(RETRY_FIRST, RETRY_MAX);
        self.at = Some(now + self.wait);
    }
}

/// What the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Step,
    Wait(Option<Instant>),
    End,
}

impl Worker {
    /// Opens the store if it can be opened now, and says what was found.
    pub(crate) fn new(shared: Arc<Shared>, opener: Opener) -> (Self, Result<OpenReport, Error>) {
        let (tails, open_retry) = (Vec::new(), Retry::default());
        let mut worker = Self { shared, opener, store: None, tails, open_retry, is_finishing: false };
        let report = worker.open();
        (worker, report)
    }

    pub(crate) fn run(mut self) {
        loop {
            match self.step(Instant::now()) {
                Next::Step => {}
                Next::Wait(until) => self.shared.wait_for_work(until),
                Next::End => break,
            }
        }
        // The lock goes before whoever closes goes on.
        self.store = None;
        self.shared.update(|state| {
            state.has_ended = true;
            state.wake_waiters();
            state.wake_consumer();
        });
    }

    pub(crate) fn step(&mut self, now: Instant) -> Next {
        let is_closing = self.shared.update(|state| {
            state.begin_work();
            state.is_closing
        });
        if self.store.is_none() && !self.try_open(now) {
            return if is_closing { Next::End } else { Next::Wait(self.open_retry.at) };
        }
        let mut has_worked = false;
        for class in 0..self.tails.len() {
            has_worked |= self.free(class, now);
            has_worked |= self.write(class, now);
            has_worked |= self.commit(class, now, is_closing);
            has_worked |= self.read(class, now);
            has_worked |= self.save_if_due(class, now);
        }
        if has_worked {
            return Next::Step;
        }
        if is_closing {
            self.finish();
            return Next::End;
        }
        let is_idle = self.shared.update(|state| state.is_worker_idle());
        if is_idle { Next::Wait(self.wake_at(now)) } else { Next::Step }
    }

    fn store(&mut self) -> &mut dyn Store {
        match &mut self.store {
            Some(store) => store.as_mut(),
            // `step` opens it before anything else.
            None => unreachable!("no store"),
        }
    }

    fn lane<R>(&self, class: usize, step: impl FnOnce(&mut Lane) -> R) -> R {
        self.shared.update(|state| step(&mut state.lanes[class]))
    }

    fn try_open(&mut self, now: Instant) -> bool {
        if !self.open_retry.is_due(now) {
            return false;
        }
        match self.open() {
            Ok(_) => true,
            Err(error) => {
                self.open_retry.failed(now);
                self.shared.update(|state| state.set_health(Some(Cause::of_open(&error))));
                false
            }
        }
    }

    fn open(&mut self) -> Result<OpenReport, Error> {
        let mut store = (self.opener)()?;
        let config = self.shared.update(|state| state.config.clone());
        let Recovered { lanes, tails, set_aside_bytes, report } = recover(store.as_mut(), &config)
            .map_err(|source| Error::storage("recover", std::path::Path::new("the buffer"), source))?;
        (self.store, self.tails) = (Some(store), tails);
        self.shared.update(|state| {
            state.set_aside_bytes = set_aside_bytes;
            install(state, lanes);
            state.set_health(None);
        });
        Ok(report)
    }

    /// When there is something to do although nobody asks.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let (unsynced, unsaved, wants_read, commit) = self.shared.update(|state| {
            let any = |is: fn(&Lane) -> bool| state.lanes.iter().any(is);
            let unsynced = any(|lane| lane.unsynced() > 0);
            (unsynced, any(|lane| lane.is_dirty), any(Lane::wants_read), state.config.commit)
        });
        let interval = save_interval(commit);
        let mut wake: Vec<Instant> = Vec::new();
        for tail in &self.tails {
            wake.extend([&tail.write_retry, &tail.free_retry].into_iter().filter_map(|retry| retry.at));
            wake.extend(tail.read_retry.at.filter(|_| wants_read));
            wake.extend(tail.synced.filter(|_| unsynced).map(|at| at + interval));
            wake.extend(tail.saved.filter(|_| unsaved).map(|at| at + interval));
        }
        // What is due already was tried in this step.
        wake.into_iter().filter(|at| *at > now).min()
    }

    /// Removes the files of what is settled. The cursor goes first and is synced: otherwise a power cut could
    /// bring back the cursor but not the files, and acknowledged records would be reported as missing.
    fn free(&mut self, class: usize, now: Instant) -> bool {
        if !self.lane(class, |lane| lane.is_front_done()) || !self.tails[class].free_retry.is_due(now) {
            return false;
        }
        let freed = self.free_now(class);
        match freed {
            Ok(()) => {
                self.tails[class].free_retry = Retry::default();
                self.recovered();
            }
            Err(error) => {
                self.tails[class].free_retry.failed(now);
                self.degrade(&error);
            }
        }
        true
    }

    fn free_now(&mut self, class: usize) -> std::io::Result<()> {
        let early = planted(Mistake::RemoveBeforeCursor);
        if !early {
            self.save(class, true)?;
        }
        while let Some(file) = self.lane(class, |lane| {
            let front = lane.segments.front().filter(|front| front.is_settled() && !front.is_active);
            front.map(|front| front.file.clone())
        }) {
            if let Some((name, _)) = file {
                self.store().remove(&name, Removal::Delete)?;
            }
            self.shared.update(|state| {
                state.lanes[class].segments.pop_front();
                state.lanes[class].is_full = false;
                state.mark_work();
                state.wake_waiters();
            });
        }
        if early { self.save(class, true) } else { Ok(()) }
    }

    /// An acknowledgement needs no sync; losing it only repeats records.
    fn save_if_due(&mut self, class: usize, now: Instant) -> bool {
        let (is_dirty, commit) =
            self.shared.update(|state| (state.lanes[class].is_dirty, state.config.commit));
        let is_due = self.tails[class].saved.is_none_or(|at| now >= at + save_interval(commit));
        if !is_dirty || !is_due {
            return false;
        }
        self.tails[class].saved = Some(now);
        // Tried again when it is due again; until then the books are right in memory.
        self.save(class, false).is_ok()
    }

    /// Writes the books to the slot that does not hold the last synced ones.
    fn save(&mut self, class: usize, sync: bool) -> std::io::Result<()> {
        let is_finishing = self.is_finishing;
        let mut cursor = self.lane(class, |lane| {
            lane.is_dirty = false;
            // What cannot be written at the end is told as missing by the next opening.
            let next_seq = if is_finishing { lane.next_seq } else { lane.next_on_disk() };
            Cursor { next_seq, ..lane.cursor.clone() }
        });
        debug_assert!(cursor.is_balanced(), "{cursor:?}");
        cursor.clean = is_finishing && self.shared.update(|state| state.ring_is_empty(class));
        cursor.generation = self.tails[class].generation + 1;
        let saved = self.write_cursor(class, &cursor, sync);
        match saved {
            Ok(()) => {
                self.tails[class].generation += 1;
                self.tails[class].slot += u64::from(sync);
            }
            Err(_) => self.lane(class, |lane| lane.is_dirty = true),
        }
        saved
    }

    fn write_cursor(&mut self, class: usize, cursor: &Cursor, sync: bool) -> std::io::Result<()> {
        let (name, at) = (cursor_name(class), Cursor::offset(self.tails[class].slot));
        self.store().write(&name, at, &cursor.encode())?;
        if sync && !planted(Mistake::NoDataSync) { self.store().sync(&name) } else { Ok(()) }
    }

    fn degrade(&self, error: &std::io::Error) {
        self.shared.update(|state| {
            state.set_health(Some(Cause::of(error)));
            let lanes = &mut state.lanes;
            lanes.iter_mut().for_each(Lane::forget_settled);
            state.count_ring();
        });
    }

    fn recovered(&self) {
        let is_ok =
            self.tails.iter().all(|tail| tail.write_retry.at.is_none() && tail.free_retry.at.is_none());
        if is_ok && self.shared.update(|state| state.health != Health::Ok) {
            self.shared.update(|state| state.set_health(None));
        }
    }

    /// The orderly end: footers, so that the next opening is quick, and exact books.
    fn finish(&mut self) {
        self.is_finishing = true;
        for class in 0..self.tails.len() {
            // Whatever fails here leaves what a crash would leave.
            let _ = self.seal(class).and_then(|()| self.save(class, true));
            let _ = self.free_now(class);
        }
    }
}

/// What was found on disk takes its place before what was accepted meanwhile.
fn install(state: &mut State, lanes: Vec<Lane>) {
    let memory = std::mem::replace(&mut state.lanes, lanes);
    for (class, memory) in memory.into_iter().enumerate() {
        let lane = &mut state.lanes[class];
        state.acked_before += lane.cursor.acked;
        state.dropped_before.merge(&lane.dropped());
        // Batches that are out have numbers which now mean something else: they come again.
        state.shifts[class] = lane.next_seq.wrapping_sub(memory.first_in_ring());
        lane.adopt(memory);
    }
    state.is_memory_only = false;
    state.shift_waiters();
    state.count_ring();
    state.wake_consumer();
}

pub(crate) fn cursor_name(class: usize) -> String {
    format!("cursor-{class:02x}")
}

fn save_interval(commit: Commit) -> Duration {
    match commit {
        Commit::Group { interval, .. } => interval,
        Commit::Never => Duration::from_millis(100),
    }
}
