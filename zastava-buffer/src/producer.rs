//! The producer's end: pushes, durability, counts and health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::entry::{Durability, PushOutcome, RefusalReason};
use crate::error::Error;
use crate::kind::Kind;
use crate::lane::Lane;
use crate::options::DURATION_MAX;
use crate::queue::Queue;
use crate::queue::QueueHandle;
use crate::stats::{Stats, StorageHealth};

/// Pushes records and watches the buffer. Cheap to clone; any number of threads and tasks may use it.
///
/// Only futures wait, and [`close`](Self::close). Dropping a future leaves the buffer as if the call had not begun or
/// had finished.
#[derive(Clone, Debug)]
pub struct Producer {
    pub(crate) handle: Arc<QueueHandle>,
}

impl Producer {
    pub(crate) fn new(handle: Arc<QueueHandle>) -> Self {
        Self { handle }
    }

    /// Accepts a record into memory. The worker writes it soon after. Never waits: if there is no room, the kind's
    /// [`KindPolicy`](crate::KindPolicy) decides.
    ///
    /// The record has [`Durability::Memory`] when this returns. [`push_durable`](Self::push_durable) and
    /// [`flush`](Self::flush) wait for more.
    pub fn push(&self, kind: Kind, bytes: &[u8]) -> PushOutcome {
        // The checksum takes longest, so it is computed outside the lock.
        let crc = crc32c::crc32c(bytes);
        self.handle.shared.update(|queue| match queue.push(kind, bytes, crc) {
            Ok(seq) => queue.push_outcome(seq),
            Err(refusal) => PushOutcome::Refused(queue.count_refused(kind, refusal)),
        })
    }

    /// Accepts a record, and waits for room if there is none. Returns the record's number.
    ///
    /// # Errors
    /// [`Error::Refused`] if waiting does not help: the record is too long, or the buffer is closed.
    pub async fn push_wait(&self, kind: Kind, bytes: &[u8]) -> Result<u64, Error> {
        self.push_durable(kind, bytes, Durability::Memory).await
    }

    /// Accepts a record like [`push_wait`](Self::push_wait), and returns its number once it is that durable. The record
    /// is synced with its group, which [`Commit`](crate::Commit) may delay; [`flush`](Self::flush) does not wait for that.
    ///
    /// # Errors
    /// The errors of [`push_wait`](Self::push_wait). [`Error::NotDurable`] while the storage cannot be used: the record
    /// is accepted and stays in memory. [`Error::Dropped`] if it was dropped from memory.
    pub async fn push_durable(&self, kind: Kind, bytes: &[u8], level: Durability) -> Result<u64, Error> {
        let crc = crc32c::crc32c(bytes);
        let mut pushed = None;
        let step = |queue: &mut Queue, id| {
            let seq = match pushed.map_or_else(|| queue.push(kind, bytes, crc), Ok) {
                Ok(seq) => seq,
                Err(RefusalReason::Full) => return None,
                Err(refusal) => return Some(Err(Error::Refused(queue.count_refused(kind, refusal)))),
            };
            pushed = Some(seq);
            let class = usize::from(queue.options.policy(kind).class);
            if queue.watch(id, class, seq) {
                return Some(Err(Error::Dropped { seq }));
            }
            queue.reached(class, seq, level)
        };
        self.handle.shared.wait(step).await
    }

    /// Waits until every record accepted before this call is that durable, or was dropped and counted. For
    /// [`Durability::Power`] it makes a sync due at once.
    ///
    /// # Errors
    /// [`Error::NotDurable`] while the storage cannot be used.
    pub async fn flush(&self, level: Durability) -> Result<(), Error> {
        let mut asked = None;
        let step = |queue: &mut Queue, _| {
            // When the directory becomes available, records in memory get new numbers.
            let (had_store, last) = asked.get_or_insert_with(|| (queue.has_store, queue.flush(level)));
            if *had_store != queue.has_store {
                (*had_store, *last) = (queue.has_store, queue.flush(level));
            }
            while let Some((class, seq)) = last.last() {
                match queue.reached(*class, *seq, level)? {
                    Err(Error::NotDurable) => return Some(Err(Error::NotDurable)),
                    _ => last.pop(),
                };
            }
            Some(Ok(()))
        };
        self.handle.shared.wait(step).await
    }

    /// Returns how durable a record of this kind is by now. `None` for a number that was not assigned, and for a record
    /// that was dropped from memory, until the consumer has settled its gap.
    #[must_use]
    pub fn durability(&self, kind: Kind, seq: u64) -> Option<Durability> {
        self.handle.shared.update(|queue| {
            let class = usize::from(queue.options.policy(kind).class);
            queue.durability(class, seq)
        })
    }

    /// Returns the random id of the directory, which never changes; 0 while there is no directory.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.handle.shared.update(|queue| queue.lanes[0].cursor.buffer_id)
    }

    /// Returns a consistent snapshot of all counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.update(|queue| queue.stats())
    }

    /// Returns how many records of the class wait to be acknowledged. 0 for a class that the options do not name.
    #[must_use]
    pub fn pending(&self, class: u8) -> u64 {
        self.handle.shared.update(|queue| queue.lanes.get(usize::from(class)).map_or(0, Lane::pending))
    }

    /// Returns the current health of the storage.
    #[must_use]
    pub fn health(&self) -> StorageHealth {
        self.handle.shared.update(|queue| queue.health)
    }

    /// Waits until the health differs from `seen`, and returns it.
    pub async fn health_changed(&self, seen: StorageHealth) -> StorageHealth {
        self.handle.shared.wait(|queue, _| (queue.health != seen).then_some(queue.health)).await
    }

    /// Refuses further records, writes and syncs the records in memory, and releases the directory. Blocks until that is
    /// done, for at most `deadline`, even if the disk hangs. A disk that fails is tried again until then.
    ///
    /// Returns whether the directory is released, and the final counts. Records that these still count as `in_memory`
    /// could not be written; the next opening reports them as missing, even if they are acknowledged after this call.
    pub fn close(&self, deadline: Duration) -> (bool, Stats) {
        let shared = &self.handle.shared;
        shared.update(|queue| {
            (queue.is_closing, queue.has_work) = (true, true);
            let by = Instant::now() + deadline.min(DURATION_MAX);
            queue.close_by = queue.close_by.max(Some(by).filter(|_| !deadline.is_zero()));
        });
        let is_done = shared.wait_for_end(deadline);
        (is_done, self.stats())
    }
}
