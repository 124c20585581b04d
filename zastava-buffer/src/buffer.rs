//! The door: a [`Queue`] behind one lock, and two ways to hear of new records.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::entry::{Admission, Entry, Kind};
use crate::error::Error;
use crate::options::Options;
use crate::queue::{Queue, recover};
use crate::stats::{OpenReport, Stats};
use crate::storage::Storage;

/// A queue of records in a directory that no other process uses.
///
/// Share it in an [`Arc`]: any number of producers push, one consumer reads and acknowledges.
/// All calls are synchronous and take the one lock for as long as their file operations take;
/// from async code call them where blocking is allowed. Dropping the buffer writes the cursor once
/// more but syncs nothing.
pub struct Buffer {
    queue: Mutex<Queue>,
    arrived: Condvar,
    subscriber: Mutex<Option<Subscriber>>,
}

type Subscriber = Arc<dyn Fn() + Send + Sync>;

impl Buffer {
    /// Opens the directory, creating it if needed, and tells what was found.
    ///
    /// Reads the whole backlog once, in constant memory. Needs no free space in a directory that
    /// was opened before. Damaged and unfinished files do not make it fail; see [`OpenReport`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for contradicting options, [`Error::Locked`] at once when another buffer
    /// holds the directory, [`Error::Storage`] when the directory cannot be read or written.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<(Self, OpenReport), Error> {
        options.validate()?;
        let (queue, report) = recover(Storage::open(directory.as_ref())?, options)?;
        let (arrived, subscriber) = (Condvar::new(), Mutex::new(None));
        Ok((Self { queue: Mutex::new(queue), arrived, subscriber }, report))
    }

    /// Appends a record. It survives the end of the process once this returns.
    ///
    /// When there is no room within the cap, the oldest segment is dropped first, and the answer
    /// says how many records that were.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::NoRoom`] or [`Error::Storage`]. The record was not accepted and
    /// is counted in [`Stats::refused`]; the queue goes on, and the next push may succeed.
    pub fn push(&self, kind: Kind, bytes: &[u8]) -> Result<Admission, Error> {
        let admission = self.queue().push(kind, bytes)?;
        self.arrived.notify_all();
        // Called without any lock held: the callback may use the buffer.
        let subscriber = lock(&self.subscriber).clone();
        if let Some(subscriber) = subscriber {
            subscriber();
        }
        Ok(admission)
    }

    /// Makes all accepted records survive a power cut; returns the number of the last of them.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when a sync fails. The records of that file stay readable, but no sync can
    /// vouch for them any more: until they are gone every call returns [`Error::NotDurable`]. New
    /// records go to a new file.
    pub fn sync(&self) -> Result<u64, Error> {
        self.queue().sync()
    }

    /// The oldest entries that are not acknowledged, in order: at most `records_max` of them, with at
    /// most `bytes_max` bytes together, but one record at least however long it is. Empty when
    /// everything is acknowledged.
    ///
    /// Reading consumes nothing: without an acknowledgement the next call returns the same entries
    /// again. Records dropped to make room appear as one [`Gap`](crate::Gap) in front.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when a file cannot be read. Damaged content is not an error but a gap.
    pub fn next_batch(&self, records_max: usize, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        self.queue().next_batch(records_max, bytes_max)
    }

    /// Acknowledges every delivered entry whose [`last_seq`](Entry::last_seq) is `seq` or less; they do
    /// not come again. Returns how many records that settled: those dropped to make room while
    /// they were on their way are already counted as dropped. Files are removed when all they hold
    /// is acknowledged. Acknowledging again is harmless.
    ///
    /// # Errors
    ///
    /// [`Error::NotDelivered`] for a number beyond the latest batch. [`Error::Storage`] when the
    /// cursor cannot be written: then nothing is acknowledged.
    pub fn ack_through(&self, seq: u64) -> Result<u64, Error> {
        self.queue().ack_through(seq)
    }

    /// Waits until there is an entry that is not acknowledged, at most for `timeout`; whether there
    /// is one. Returns at once while a batch is not acknowledged.
    pub fn wait_for_records(&self, timeout: Duration) -> bool {
        let waiting = self.arrived.wait_timeout_while(self.queue(), timeout, |queue| !queue.has_entries());
        waiting.unwrap_or_else(PoisonError::into_inner).0.has_entries()
    }

    /// Calls `callback` after each push that stored a record, in the producer's thread. It must be
    /// quick, for example notify a waiting task. There is one consumer and so one callback: a
    /// second call replaces the first.
    ///
    /// To miss nothing, read until a batch is empty before waiting for a notification that is
    /// remembered when nobody waits yet.
    pub fn subscribe(&self, callback: impl Fn() + Send + Sync + 'static) {
        *lock(&self.subscriber) = Some(Arc::new(callback));
    }

    /// The books at one moment.
    pub fn stats(&self) -> Stats {
        self.queue().stats()
    }

    /// A random number that the directory keeps for its life. With epoch and number of a record it
    /// makes a name that no other record has.
    pub fn id(&self) -> u128 {
        self.queue().id()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

/// No foreign code runs under these locks, so a poisoned one can only follow a bug of ours that was
/// reported by its panic; the positions it guards move last and are valid at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Best effort: the log is the truth, this only helps to count damage exactly.
        let _ = self.queue().leave();
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
