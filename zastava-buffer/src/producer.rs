//! The end that puts records in.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::buffer::{Handle, Waiting};
use crate::entry::{Admission, Durability, Kind, Refusal};
use crate::error::Error;
use crate::state::{Outcome, Wants};
use crate::stats::{Health, Stats};

/// Puts records in, and watches. Cheap to clone; any number of threads and tasks may use it.
///
/// No call waits for the disk, except the futures, which wait for what their names say. Dropping a future
/// leaves the buffer as if the call had not begun or had finished.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
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
        self.handle.shared.update(|state| {
            let admission = state.push(kind, bytes, crc);
            if let Admission::Refused(refusal) = admission {
                state.refuse(kind, refusal);
            }
            admission
        })
    }

    /// Accepts a record, waiting for room if there is none; its number.
    ///
    /// # Errors
    /// [`Error::Refused`] when waiting does not help: the record is too long, or the buffer is closed.
    pub async fn push_wait(&self, kind: Kind, bytes: &[u8]) -> Result<u64, Error> {
        let crc = crc32c::crc32c(bytes);
        let shared = &self.handle.shared;
        let waiting = Waiting::new(shared, Wants::Room);
        std::future::poll_fn(|context| {
            shared.update(|state| match state.push(kind, bytes, crc) {
                Admission::Stored { seq } | Admission::Evicted { seq, .. } => Poll::Ready(Ok(seq)),
                Admission::Refused(Refusal::Full) => {
                    state.wait(waiting.id, context.waker());
                    Poll::Pending
                }
                Admission::Refused(refusal) => {
                    state.refuse(kind, refusal);
                    Poll::Ready(Err(Error::Refused(refusal)))
                }
            })
        })
        .await
    }

    /// Accepts a record, waiting for room, and returns its number once it is that safe.
    ///
    /// # Errors
    /// As [`push_wait`](Self::push_wait). [`Error::NotDurable`] while the storage cannot be used: the record is
    /// accepted and stays in memory. [`Error::Dropped`] if it had to go from there.
    pub async fn push_durable(&self, kind: Kind, bytes: &[u8], level: Durability) -> Result<u64, Error> {
        let seq = self.push_wait(kind, bytes).await?;
        let class = self.handle.shared.update(|state| usize::from(state.config.policy(kind).class));
        self.safe(class, seq, level).await.map(|()| seq)
    }

    /// Waits until every record accepted before this call is that safe, or dropped and counted.
    ///
    /// # Errors
    /// [`Error::NotDurable`] while the storage cannot be used.
    pub async fn flush(&self, level: Durability) -> Result<(), Error> {
        let last = self.handle.shared.update(|state| {
            let last = state.lanes.iter().map(|lane| lane.next_seq - 1);
            last.enumerate().filter(|(_, seq)| *seq > 0).collect::<Vec<_>>()
        });
        for (class, seq) in last {
            match self.safe(class, seq, level).await {
                Ok(()) | Err(Error::Dropped { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn safe(&self, class: usize, seq: u64, level: Durability) -> Result<(), Error> {
        let waiting = Waiting::new(&self.handle.shared, Wants::Safe { class, seq, level });
        match waiting.outcome().await {
            Outcome::Reached => Ok(()),
            Outcome::Dropped => Err(Error::Dropped { seq }),
            Outcome::NotNow => Err(Error::NotDurable),
        }
    }

    /// How safe a record of this kind is by now; `None` if it was dropped from memory.
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

    #[cfg(test)]
    pub(crate) fn is_worker_idle(&self) -> bool {
        self.handle.shared.update(|state| state.is_worker_idle())
    }

    #[cfg(test)]
    pub(crate) fn safe_through(&self) -> Vec<u64> {
        let safe = |lane: &crate::lane::Lane| lane.ring.front().map_or(lane.next_seq, |slot| slot.first);
        self.handle.shared.update(|state| state.lanes.iter().map(safe).collect())
    }

    #[cfg(test)]
    pub(crate) fn last_numbers(&self) -> std::collections::BTreeMap<u8, u64> {
        let last = |(class, lane): (usize, &crate::lane::Lane)| (class as u8, lane.next_seq - 1);
        self.handle.shared.update(|state| state.lanes.iter().enumerate().map(last).collect())
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
        loop {
            let (health, changes) = self.handle.shared.update(|state| (state.health, state.changes));
            if health != seen {
                return health;
            }
            Waiting::new(&self.handle.shared, Wants::Health { changes }).outcome().await;
        }
    }

    /// Takes no more records, writes and syncs what is in memory, and lets go of the directory. Blocks until that
    /// is done, at most for `deadline`, also when the disk hangs. Whether it was done, and the last books: what is
    /// still `in_memory` in them could not be written, and the next opening tells it as missing.
    pub fn close(&self, deadline: Duration) -> (bool, Stats) {
        let shared = &self.handle.shared;
        shared.update(|state| {
            state.is_closing = true;
            state.mark_work();
        });
        let is_done = shared.wait_for_end(Instant::now() + deadline);
        (is_done, self.stats())
    }
}
