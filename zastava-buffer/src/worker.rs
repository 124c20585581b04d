//! The worker does all I/O: it writes records from memory, syncs them, reads ahead for the consumer, and removes settled
//! segments.
//!
//! A step takes its work from the queue, does the I/O without the lock, and reports the result. Time is an argument, so
//! that tests can step through it.

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

/// Opens the store. Called again until it succeeds.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn Store>, Error> + Send>;

pub(crate) struct Worker {
    shared: Arc<SharedQueue>,
    options: Arc<BufferOptions>,
    opener: Opener,
    store: Option<Box<dyn Store>>,
    lane_ios: Vec<LaneIo>,
    /// The back-off of everything that changes files. Reading continues, so that a full disk can be drained.
    ///
    /// docs/design/buffer.md#why-does-one-failed-call-stop-all-writing-for-a-while-but-no-reading
    retry: Retry,
    is_finishing: bool,
}

/// The files of one lane, as far as only the worker needs to know them.
#[derive(Debug, Default)]
pub(crate) struct LaneIo {
    active: Option<ActiveSegment>,
    /// Segments created by this opening.
    serial: u32,
    /// The cursor's latest generation, and the slot that is written next.
    generation: u64,
    slot: u64,
    save_at: Option<Instant>,
    sync_at: Option<Instant>,
    reader: Option<Frames>,
    /// The last segment with damage, and the gaps in it whose kinds had to be worked out.
    surveyed: (String, Vec<Gap>),
    read_retry: Retry,
}

/// Back-off after failures: 50 ms, doubled by each failure up to a second.
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
    /// Creates the worker and tries to open the store.
    pub(crate) fn new(shared: Arc<SharedQueue>, opener: Opener) -> (Self, Result<OpenReport, Error>) {
        let (store, lane_ios, retry) = (None, Vec::new(), Retry::default());
        let options = shared.update(|queue| Arc::clone(&queue.options));
        let mut worker = Self { shared, options, opener, store, lane_ios, retry, is_finishing: false };
        let report = worker.open();
        (worker, report)
    }

    pub(crate) fn run(mut self) {
        // Ends the queue even if the store panics, so that nobody waits for ever.
        let _end = EndGuard(Arc::clone(&self.shared));
        loop {
            match self.step(Instant::now()) {
                Next::Step => {}
                Next::Wait(until) => self.shared.wait_for_work(until),
                Next::End => break,
            }
        }
        // Releases the lock of the directory before `close` returns.
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
            // A failed write may succeed before the deadline.
            let is_open = self.store.is_some() && self.shared.update(|queue| queue.stats().in_memory > 0);
            if let (true, Some(at), Some(by)) = (is_open, self.retry.at, close_by.filter(|by| now < *by)) {
                return Next::Wait(Some(at.min(by)));
            }
            self.finish();
            return Next::End;
        }
        if is_idle { Next::Wait(self.wake_at(now)) } else { Next::Step }
    }

    /// Does everything that is due and changes files. Returns true if there was anything.
    fn change(&mut self, now: Instant) -> bool {
        if self.store.is_none() {
            match self.open() {
                // Failures from now on count from zero. Waiters are woken before anything else is tried.
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
            // `change` opens the store before anything else, and nothing is read before that.
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

    /// Returns when the worker has to wake up by itself.
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
        // Work that is already due was tried in this step.
        let all = self.lane_ios.iter().flat_map(of_lane_io).chain([self.retry.at]).flatten();
        all.filter(|at| *at > now).min()
    }

    /// Removes settled files. Returns true if there were any. The cursor is synced first: otherwise a power cut could
    /// restore an old cursor but not the files, and acknowledged records would be reported as missing.
    fn free(&mut self, class: usize) -> io::Result<bool> {
        // Taken before the cursor is saved, which may not cover files that are settled later.
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

    /// Saves the cursor if it is due, without a sync: a lost acknowledgement only repeats records.
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

    /// Ends orderly: writes footers, so that the next opening is quick, and exact cursors.
    fn finish(&mut self) {
        self.is_finishing = true;
        for class in 0..self.lane_ios.len() {
            // A failure here leaves the same files as a crash.
            let _ = self.seal(class);
            let _ = self.free(class);
        }
    }
}

impl LaneIo {
    /// Writes the cursor to the slot that does not hold the last synced one.
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

/// Marks the queue as ended when the thread ends, even by a panic.
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
            // Notified before the wakers run, which are foreign code and may panic.
            self.0.ended.notify_all();
        });
    }
}

/// Returns true if there is nothing to wait for.
fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_none_or(|at| now >= at)
}

pub(crate) fn cursor_name(class: usize) -> String {
    format!("cursor-{class:02x}")
}
