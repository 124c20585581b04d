//! The one that does I/O: writes what is in memory, syncs it, reads ahead for the consumer, frees what is
//! settled. A step takes what to do from the shared state, does it without the lock, and reports back. Time
//! is an argument, so that tests can step through it.

mod read;
mod recover;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use recover::{Recovered, recover};
pub(crate) use recover::{locate, read_extent};
use write::ActiveSegment;

use crate::entry::Gap;
use crate::error::Error;
use crate::format::Cursor;
use crate::lane::Lane;
use crate::mutation::{Mutation, is_planted};
use crate::options::BufferOptions;
use crate::queue::SharedQueue;
use crate::scan::Frames;
use crate::stats::{OpenReport, StorageProblem};
use crate::store::{Removal, Store};

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Opens the store, again and again until it can be opened.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn Store>, Error> + Send>;

pub(crate) struct Worker {
    shared: Arc<SharedQueue>,
    options: Arc<BufferOptions>,
    opener: Opener,
    store: Option<Box<dyn Store>>,
    lane_ios: Vec<LaneIo>,
    /// Of all that changes files. Reading goes on meanwhile: a full disk can be drained.
    retry: Retry,
    is_finishing: bool,
}

/// What the worker knows of a lane and nobody else has to.
#[derive(Debug, Default)]
pub(crate) struct LaneIo {
    active: Option<ActiveSegment>,
    /// Segments made by this opening.
    serial: u32,
    /// Of the cursor: its latest generation, and the slot that the next one goes to.
    generation: u64,
    slot: u64,
    save_at: Option<Instant>,
    sync_at: Option<Instant>,
    reader: Option<Frames>,
    /// The last segment in which damage was met, and what its gaps of unknown kind held.
    surveyed: (String, Vec<Gap>),
    read_retry: Retry,
}

/// Waiting longer after each failure, up to a second.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
    cause: Option<StorageProblem>,
}

impl Retry {
    fn failed(&mut self, cause: StorageProblem, now: Instant) {
        let wait = (RETRY_FIRST * (1 << self.failures.min(8))).min(RETRY_MAX);
        self.failures += 1;
        (self.at, self.cause) = (Some(now + wait), Some(cause));
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
    pub(crate) fn new(shared: Arc<SharedQueue>, opener: Opener) -> (Self, Result<OpenReport, Error>) {
        let (store, lane_ios, retry) = (None, Vec::new(), Retry::default());
        let options = shared.update(|queue| Arc::clone(&queue.options));
        let mut worker = Self { shared, options, opener, store, lane_ios, retry, is_finishing: false };
        let report = worker.open();
        (worker, report)
    }

    pub(crate) fn run(mut self) {
        // Also when a store panics: nobody waits for what will not come.
        let _end = EndGuard(Arc::clone(&self.shared));
        loop {
            match self.step(Instant::now()) {
                Next::Step => {}
                Next::Wait(until) => self.shared.wait_for_work(until),
                Next::End => break,
            }
        }
        // The lock goes before whoever closes goes on.
        self.store = None;
    }

    pub(crate) fn step(&mut self, now: Instant) -> Next {
        let (is_closing, close_by) = self.shared.update(|queue| {
            queue.has_work = false;
            (queue.is_closing, queue.close_by)
        });
        let has_changed = is_due(self.retry.at, now) && self.change(now);
        let has_worked = self.read_all(now) || has_changed;
        let reading = self.lane_ios.iter().find_map(|lane_io| lane_io.read_retry.cause);
        let is_idle = self.shared.update(|queue| {
            queue.set_health(self.retry.cause, reading);
            !queue.has_work
        });
        if has_worked {
            return Next::Step;
        }
        if is_closing {
            // What failed may go well before the time is over.
            let is_open = self.store.is_some() && self.shared.update(|queue| queue.stats().in_memory > 0);
            if let (true, Some(at), Some(by)) = (is_open, self.retry.at, close_by.filter(|by| now < *by)) {
                return Next::Wait(Some(at.min(by)));
            }
            self.finish();
            return Next::End;
        }
        if is_idle { Next::Wait(self.wake_at(now)) } else { Next::Step }
    }

    /// Everything that changes files, as far as it is due; whether there was anything.
    fn change(&mut self, now: Instant) -> bool {
        if self.store.is_none() {
            match self.open() {
                // What comes now has failures of its own to count, and whoever waits is told first.
                Ok(_) => self.retry = Retry::default(),
                Err(error) => self.retry.failed(StorageProblem::of_open(&error), now),
            }
            return self.store.is_some();
        }
        let (mut has_worked, mut failed) = (false, None);
        for class in 0..self.lane_ios.len() {
            let (freed, written) = (self.free(class), self.write(class));
            for result in [freed, written, self.commit(class, now), self.save_due(class, now)] {
                match result {
                    Ok(worked) => has_worked |= worked,
                    Err(error) => failed = Some(StorageProblem::of(&error)),
                }
            }
        }
        match failed {
            None => self.retry = Retry::default(),
            Some(cause) => self.retry.failed(cause, now),
        }
        has_worked
    }

    fn store(&mut self) -> &mut dyn Store {
        match &mut self.store {
            Some(store) => store.as_mut(),
            // `step` opens it before anything else.
            None => unreachable!("no store"),
        }
    }

    fn lane<R>(&self, class: usize, step: impl FnOnce(&mut Lane) -> R) -> R {
        self.shared.update(|queue| step(&mut queue.lanes[class]))
    }

    fn open(&mut self) -> Result<OpenReport, Error> {
        let mut store = (self.opener)()?;
        let recovered = recover(store.as_mut(), &self.options);
        let Recovered { lanes, lane_ios, set_aside_bytes, report } =
            recovered.map_err(|source| Error::storage("recover", Path::new("the buffer"), source))?;
        (self.store, self.lane_ios) = (Some(store), lane_ios);
        self.shared.update(|queue| queue.install(lanes, set_aside_bytes));
        Ok(report)
    }

    /// When there is something to do although nobody asks.
    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let (unsynced, unsaved) = self.shared.update(|queue| {
            let any = |is: fn(&Lane) -> bool| queue.lanes.iter().any(is);
            (any(|lane| lane.unsynced() > 0), any(|lane| lane.is_dirty))
        });
        let of_lane_io = |lane_io: &LaneIo| {
            let (sync_at, save_at) =
                (lane_io.sync_at.filter(|_| unsynced), lane_io.save_at.filter(|_| unsaved));
            [sync_at, save_at, lane_io.read_retry.at]
        };
        // What is due already was tried in this step.
        let all = self.lane_ios.iter().flat_map(of_lane_io).chain([self.retry.at]).flatten();
        all.filter(|at| *at > now).min()
    }

    /// Removes the files of what is settled; whether there were any. The cursor goes first and is synced: otherwise
    /// a power cut could bring back the cursor but not the files, and acknowledged records would be reported as
    /// missing.
    fn free(&mut self, class: usize) -> io::Result<bool> {
        // What is settled from here on is not in these books.
        let files: Vec<_> = self.lane(class, |lane| lane.garbage.iter().cloned().collect());
        if files.is_empty() && !self.is_finishing {
            return Ok(false);
        }
        self.save(class, !is_planted(Mutation::RemoveBeforeCursor))?;
        let mut freed = Ok(true);
        for (file, _) in files {
            match self.store().remove(&file, Removal::Delete) {
                Ok(()) => self.shared.update(|queue| queue.freed(class, &file)),
                Err(error) => freed = Err(error),
            }
        }
        freed
    }

    /// An acknowledgement needs no sync; losing it only repeats records.
    fn save_due(&mut self, class: usize, now: Instant) -> io::Result<bool> {
        let is_due = is_due(self.lane_ios[class].save_at, now) && self.lane(class, |lane| lane.is_dirty);
        if is_due {
            self.lane_ios[class].save_at = Some(now + self.options.interval());
            self.save(class, false)?;
        }
        Ok(is_due)
    }

    fn save(&mut self, class: usize, sync: bool) -> io::Result<()> {
        let is_finishing = self.is_finishing;
        let checkpoint = self.lane(class, |lane| {
            lane.is_dirty = false;
            lane.checkpoint(is_finishing)
        });
        let (Some(store), lane_io) = (&mut self.store, &mut self.lane_ios[class]) else { return Ok(()) };
        let saved = lane_io.save(store.as_mut(), class, checkpoint, sync);
        if saved.is_err() {
            self.lane(class, |lane| lane.is_dirty = true);
        }
        saved
    }

    /// The orderly end: footers, so that the next opening is quick, and exact books.
    fn finish(&mut self) {
        self.is_finishing = true;
        for class in 0..self.lane_ios.len() {
            // Whatever fails here leaves what a crash would leave.
            let _ = self.seal(class);
            let _ = self.free(class);
        }
    }
}

impl LaneIo {
    /// Writes the books to the slot that does not hold the last synced ones.
    fn save(
        &mut self,
        store: &mut dyn Store,
        class: usize,
        checkpoint: Cursor,
        sync: bool,
    ) -> io::Result<()> {
        let cursor = Cursor { generation: self.generation + 1, ..checkpoint };
        debug_assert!(cursor.is_balanced(), "{cursor:?}");
        let name = cursor_name(class);
        store.write(&name, Cursor::offset(self.slot), &cursor.encode())?;
        if sync && !is_planted(Mutation::NoDataSync) {
            store.sync(&name)?;
        }
        self.generation += 1;
        self.slot += u64::from(sync);
        Ok(())
    }
}

/// The end of the thread, however it comes.
struct EndGuard(Arc<SharedQueue>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.update(|queue| {
            (queue.has_ended, queue.is_closing) = (true, true);
            if std::thread::panicking() {
                queue.set_health(Some(StorageProblem::Io), None);
            }
            queue.wake_waiters();
            queue.wake_consumer();
            // Before the wakers, which are foreign code and may panic.
            self.0.ended.notify_all();
        });
    }
}

/// Whether what was put off until then may be done.
fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_none_or(|at| now >= at)
}

pub(crate) fn cursor_name(class: usize) -> String {
    format!("cursor-{class:02x}")
}
