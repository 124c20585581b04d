//! Reads of files that belong to others, each with a deadline.
//!
//! A file system may stop answering: a FUSE daemon is stopped, an NFS server is gone. Whoever reads there waits, and no
//! signal ends that wait. So a [`Reader`] reads on a thread that can be given up. A read that was given up stays in the
//! table of [`Reads`] until it returns. Until then no other read goes to the same [`Place`], so that one dead file
//! system costs a few threads; and each kind of place has a bound, so that many dead ones cost a bounded number
//! (docs/design/observer.md#what-happens-when-a-file-does-not-answer).

mod report;
mod table;

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zastava_elf::Device;

pub(crate) use self::report::ReadsReport;
use self::table::{Admission, Table};

/// The longest wait for one read. A read of this length has stopped: those that only take long end by themselves
/// before.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_secs(2);
/// Room for scripts that are nested as deeply as they may be. Only what is used takes memory; the threads that hang keep
/// theirs.
const STACK_BYTES: usize = 2 << 20;

/// What a read may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Nothing: the kernel answers from its memory.
    Memory,
    /// A file in a process's directory in `/proc`, whose answer takes locks or pages of that process.
    Process { pid: u32, file: &'static str },
    /// The look-up of a path below a process's root, which may lead to any file system.
    LookUp { pid: u32 },
    /// The files of a file system.
    FileSystem(Device),
    /// A socket of an engine. `path` is its path's fingerprint: one that hangs refuses no other.
    Socket { engine: &'static str, path: u64 },
    /// A part of the node itself.
    Node(&'static str),
}

/// Why a read gave no answer. The words begin alike, so that one search finds all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRead {
    #[error("not read in time")]
    TimedOut,
    #[error("not read in time: an earlier read there still hangs")]
    PlaceHangs,
    #[error("not read in time: too many reads hang")]
    TooMany,
    #[error("not read: no thread can be started")]
    NoThread,
}

/// All reads under way. Cheap to clone; clones share the bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    /// A read has ended or is given up.
    changed: Condvar,
}

impl Reads {
    /// A reader whose reads wait for at most `time_max` altogether, and each for at most [`READ_TIME_MAX`].
    pub(crate) fn reader(&self, time_max: Duration) -> Reader {
        Reader { reads: self.clone(), until: Instant::now() + time_max, each: READ_TIME_MAX, thread: None }
    }

    /// A reader for one read that may take so long.
    pub(crate) fn patient_reader(&self, time_max: Duration) -> Reader {
        Reader { each: time_max, ..self.reader(time_max) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a read may go to the place.
    fn admitted(&self, place: Place, until: Instant) -> Result<MutexGuard<'_, Table>, NotRead> {
        let mut table = self.table();
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            match table.admit(place) {
                Admission::Refused(not_read) => return Err(not_read),
                Admission::Now => return Ok(table),
                Admission::Later if wait.is_zero() => return Err(NotRead::TimedOut),
                Admission::Later => {
                    table =
                        self.0.changed.wait_timeout(table, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Nobody waits for the read any more. False if it has ended.
    fn give_up(&self, id: u64) -> bool {
        let is_given_up = self.table().give_up(id);
        self.0.changed.notify_all();
        is_given_up
    }
}

/// A thread that reads, for one inspection. When a read hangs, the thread is left to it and the next read gets another.
#[derive(Debug)]
pub(crate) struct Reader {
    reads: Reads,
    until: Instant,
    each: Duration,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// The thread ends when this is dropped.
    jobs: Sender<Job>,
    handle: JoinHandle<()>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Reader {
    /// What `read` returns, if it does so in time. It runs on a thread that may hang forever; so what it opens must be
    /// closed in it, since closing can hang too.
    ///
    /// # Panics
    /// If `read` panics.
    pub(crate) fn read<T: Send + 'static>(
        &mut self,
        place: Place,
        read: impl FnOnce(&UnderWay) -> T + Send + 'static,
    ) -> Result<T, NotRead> {
        let until = self.until.min(Instant::now() + self.each);
        self.read_until(until, place, read).inspect_err(|_| self.reads.table().count_not_read())
    }

    fn read_until<T: Send + 'static>(
        &mut self,
        until: Instant,
        place: Place,
        read: impl FnOnce(&UnderWay) -> T + Send + 'static,
    ) -> Result<T, NotRead> {
        if until <= Instant::now() {
            return Err(NotRead::TimedOut);
        }
        let id = self.reads.admitted(place, until)?.begin(place);
        let under_way = UnderWay { reads: self.reads.clone(), id, until };
        let (answer, answered) = mpsc::sync_channel(1);
        self.run(Box::new(move || {
            let found = read(&under_way);
            // Ended first: whoever finds no read in the table can wait for the answer.
            drop(under_way);
            // Nobody waits for a read that was given up.
            let _ = answer.send(found);
        }))?;
        match answered.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(found) => Ok(found),
            Err(RecvTimeoutError::Timeout) if self.reads.give_up(id) => {
                self.thread = None;
                Err(NotRead::TimedOut)
            }
            // It ended just now.
            Err(RecvTimeoutError::Timeout) => Ok(answered.recv().unwrap_or_else(|_| self.pass_panic_on())),
            Err(RecvTimeoutError::Disconnected) => self.pass_panic_on(),
        }
    }

    fn run(&mut self, job: Job) -> Result<(), NotRead> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => Thread::start().ok_or(NotRead::NoThread)?,
        };
        // A thread that panicked drops the job, and the answer is missed.
        let _ = thread.jobs.send(job);
        self.thread = Some(thread);
        Ok(())
    }

    fn pass_panic_on<T>(&mut self) -> T {
        let ended = self.thread.take().map(|thread| thread.handle.join());
        match ended {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("a thread answers or panics"),
        }
    }
}

impl Thread {
    fn start() -> Option<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job());
        let builder = std::thread::Builder::new().name("read".to_owned()).stack_size(STACK_BYTES);
        Some(Self { jobs, handle: builder.spawn(work).ok()? })
    }
}

/// A read, as it knows itself.
#[derive(Debug)]
pub(crate) struct UnderWay {
    reads: Reads,
    id: u64,
    until: Instant,
}

impl UnderWay {
    /// From here on the read may wait for another place.
    ///
    /// # Errors
    /// If a read hangs there, or the bound is reached.
    pub(crate) fn goes_to(&self, place: Place) -> Result<(), NotRead> {
        self.reads.admitted(place, self.until)?.go(self.id, place);
        Ok(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.reads.table().end(self.id);
        self.reads.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
