//! The end that puts records in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::entry::{Durability, PushOutcome, RefusalReason};
use crate::error::Error;
use crate::kind::Kind;
use crate::options::DURATION_MAX;
use crate::queue::Queue;
use crate::queue::QueueHandle;
use crate::stats::{Stats, StorageHealth};

/// Puts records in, and watches. Cheap to clone; any number of threads and tasks may use it.
///
/// No call waits for the disk, except the futures, which wait for what their names say. Dropping a future
/// leaves the buffer as if the call had not begun or had finished.
#[derive(Clone, Debug)]
pub struct Producer {
    pub(crate) handle: Arc<QueueHandle>,
}

impl Producer {
    pub(crate) fn new(handle: Arc<QueueHandle>) -> Self {
        Self { handle }
    }

    /// Accepts a record into memory, from where it goes to the disk within moments. Never waits: without room it
    /// does what the kind's [`KindPolicy`](crate::KindPolicy) says.
    ///
    /// The answer promises [`Durability::Memory`] and no more. See [`push_durable`](Self::push_durable) and
    /// [`flush`](Self::flush).
    pub fn push(&self, kind: Kind, bytes: &[u8]) -> PushOutcome {
        // The long part without the lock.
        let crc = crc32c::crc32c(bytes);
        self.handle.shared.update(|queue| match queue.push(kind, bytes, crc) {
            Ok(seq) => queue.push_outcome(seq),
            Err(refusal) => PushOutcome::Refused(queue.count_refused(kind, refusal)),
        })
    }

    /// Accepts a record, waiting for room if there is none; its number.
    ///
    /// # Errors
    /// [`Error::Refused`] when waiting does not help: the record is too long, or the buffer is closed.
    pub async fn push_wait(&self, kind: Kind, bytes: &[u8]) -> Result<u64, Error> {
        self.push_durable(kind, bytes, Durability::Memory).await
    }

    /// Accepts a record, waiting for room, and returns its number once it is that safe. It goes with its group, and
    /// waits for that as long as [`Commit`](crate::Commit) says; [`flush`](Self::flush) does not.
    ///
    /// # Errors
    /// As [`push_wait`](Self::push_wait). [`Error::NotDurable`] while the storage cannot be used: the record is
    /// accepted and stays in memory. [`Error::Dropped`] if it had to go from there.
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

    /// Waits until every record accepted before this call is that safe, or dropped and counted. For
    /// [`Durability::Power`] it makes a commit due.
    ///
    /// # Errors
    /// [`Error::NotDurable`] while the storage cannot be used.
    pub async fn flush(&self, level: Durability) -> Result<(), Error> {
        let mut asked = None;
        let step = |queue: &mut Queue, _| {
            // A directory that was found since then gives all that is in memory new numbers.
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

    /// How safe a record of this kind is by now. `None` for a number that was not given, and for a record that was
    /// dropped from memory as long as its gap is there.
    #[must_use]
    pub fn durability(&self, kind: Kind, seq: u64) -> Option<Durability> {
        self.handle.shared.update(|queue| {
            let class = usize::from(queue.options.policy(kind).class);
            queue.durability(class, seq)
        })
    }

    /// A random number that the directory keeps for its life; 0 while there is none.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.handle.shared.update(|queue| queue.lanes[0].cursor.buffer_id)
    }

    /// The books at one moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.update(|queue| queue.stats())
    }

    /// How the storage does at this moment.
    #[must_use]
    pub fn health(&self) -> StorageHealth {
        self.handle.shared.update(|queue| queue.health)
    }

    /// Waits until the health is another than the one given, and returns it.
    pub async fn health_changed(&self, seen: StorageHealth) -> StorageHealth {
        self.handle.shared.wait(|queue, _| (queue.health != seen).then_some(queue.health)).await
    }

    /// Takes no more records, writes and syncs what is in memory, and lets go of the directory. Blocks until that
    /// is done, at most for `deadline`, also when the disk hangs; one that fails is tried again until then. Whether the
    /// directory is free, and the last books: what is still `in_memory` in them could not be written, and the next
    /// opening tells it as missing. So it does with what is acknowledged later.
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
