//! The end that puts records in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buffer::Handle;
use crate::config::DURATION_MAX;
use crate::entry::{Admission, Durability, Kind, Refusal};
use crate::error::Error;
use crate::state::State;
use crate::stats::{Health, Stats};

/// Puts records in, and watches. Cheap to clone; any number of threads and tasks may use it.
///
/// No call waits for the disk, except the futures, which wait for what their names say. Dropping a future
/// leaves the buffer as if the call had not begun or had finished.
#[derive(Clone, Debug)]
pub struct Producer {
    pub(crate) handle: Arc<Handle>,
}

impl Producer {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Accepts a record into memory, from where it goes to the disk within moments. Never waits: without room it
    /// does what the kind's [`Policy`](crate::Policy) says.
    ///
    /// The answer promises [`Durability::Memory`] and no more. See [`push_durable`](Self::push_durable) and
    /// [`flush`](Self::flush).
    pub fn push(&self, kind: Kind, bytes: &[u8]) -> Admission {
        // The long part without the lock.
        let crc = crc32c::crc32c(bytes);
        self.handle.shared.update(|state| match state.push(kind, bytes, crc) {
            Ok(seq) => state.admitted(seq),
            Err(refusal) => Admission::Refused(state.refused(kind, refusal)),
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
        let step = |state: &mut State, id| {
            let seq = match pushed.map_or_else(|| state.push(kind, bytes, crc), Ok) {
                Ok(seq) => seq,
                Err(Refusal::Full) => return None,
                Err(refusal) => return Some(Err(Error::Refused(state.refused(kind, refusal)))),
            };
            pushed = Some(seq);
            let class = usize::from(state.config.policy(kind).class);
            if state.watch(id, class, seq) {
                return Some(Err(Error::Dropped { seq }));
            }
            state.is_safe(class, seq, level)
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
        let step = |state: &mut State, _| {
            // A directory that was found since then gives all that is in memory new numbers.
            let (had_store, last) = asked.get_or_insert_with(|| (state.has_store, state.flush(level)));
            if *had_store != state.has_store {
                (*had_store, *last) = (state.has_store, state.flush(level));
            }
            while let Some((class, seq)) = last.last() {
                match state.is_safe(*class, *seq, level)? {
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
        self.handle.shared.update(|state| {
            let class = usize::from(state.config.policy(kind).class);
            state.durability(class, seq)
        })
    }

    /// A random number that the directory keeps for its life; 0 while there is none.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.handle.shared.update(|state| state.lanes[0].cursor.buffer_id)
    }

    /// The books at one moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.update(|state| state.stats())
    }

    /// How the storage does at this moment.
    #[must_use]
    pub fn health(&self) -> Health {
        self.handle.shared.update(|state| state.health)
    }

    /// Waits until the health is another than the one given, and returns it.
    pub async fn health_changed(&self, seen: Health) -> Health {
        self.handle.shared.wait(|state, _| (state.health != seen).then_some(state.health)).await
    }

    /// Takes no more records, writes and syncs what is in memory, and lets go of the directory. Blocks until that
    /// is done, at most for `deadline`, also when the disk hangs; one that fails is tried again until then. Whether the
    /// directory is free, and the last books: what is still `in_memory` in them could not be written, and the next
    /// opening tells it as missing. So it does with what is acknowledged later.
    pub fn close(&self, deadline: Duration) -> (bool, Stats) {
        let shared = &self.handle.shared;
        shared.update(|state| {
            (state.is_closing, state.has_work) = (true, true);
            let by = Instant::now() + deadline.min(DURATION_MAX);
            state.close_by = state.close_by.max(Some(by).filter(|_| !deadline.is_zero()));
        });
        let is_done = shared.wait_for_end(deadline);
        (is_done, self.stats())
    }
}
