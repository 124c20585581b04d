//! The consumer's end: batches and acknowledgements.

use std::sync::Arc;
use std::task::Poll;

use crate::entry::Entry;
use crate::queue::Queue;
use crate::queue::QueueHandle;
use crate::stats::Stats;

/// Takes records out: the highest class first, and within a class the oldest record first. A buffer has one consumer.
#[derive(Debug)]
pub struct Consumer {
    handle: Arc<QueueHandle>,
}

impl Consumer {
    pub(crate) fn new(handle: Arc<QueueHandle>) -> Self {
        Self { handle }
    }

    /// Waits for the next entries, all of one class. The batch has at most `records_max` entries and at most `bytes_max`
    /// bytes, but always one entry, however long that is. Returns `None` once the buffer is closed and nothing is left
    /// in memory. Records on disk stay for the next opening.
    ///
    /// While [`BufferOptions::batches_max`](crate::BufferOptions::batches_max) batches are out, it waits until one of
    /// them is settled. The call consumes nothing, and dropping its future loses nothing.
    pub async fn next_batch(&mut self, records_max: usize, bytes_max: usize) -> Option<Batch> {
        std::future::poll_fn(|context| {
            self.handle.shared.update(|queue| {
                let batch = self.take(queue, records_max, bytes_max);
                if batch.is_some() || queue.has_ended {
                    return Poll::Ready(batch);
                }
                queue.consumer = Some(context.waker().clone());
                Poll::Pending
            })
        })
        .await
    }

    /// Returns the next entries if they are in memory. `None` if there are none or they still have to be read.
    pub fn try_next_batch(&mut self, records_max: usize, bytes_max: usize) -> Option<Batch> {
        self.handle.shared.update(|queue| self.take(queue, records_max, bytes_max))
    }

    /// Returns true if the consumer has every accepted record and every gap: settled, or in a batch that is out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.handle.shared.update(|queue| !queue.lanes.iter().any(|lane| lane.has_entries()))
    }

    /// Returns a consistent snapshot of all counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.update(|queue| queue.stats())
    }

    fn take(&self, queue: &mut Queue, records_max: usize, bytes_max: usize) -> Option<Batch> {
        let (class, id, entries) = queue.next_batch(records_max, bytes_max)?;
        let handle = Arc::clone(&self.handle);
        Some(Batch { handle, class, id, entries, is_acked: false })
    }
}

/// Entries that are out for delivery. [`ack`](Self::ack) and [`ack_through`](Self::ack_through) settle them. Entries that
/// are not acknowledged when the batch is dropped are delivered again.
#[derive(Debug)]
#[must_use = "a batch that is dropped is delivered again"]
pub struct Batch {
    handle: Arc<QueueHandle>,
    class: usize,
    id: u64,
    entries: Arc<[Entry]>,
    is_acked: bool,
}

impl Batch {
    /// Returns the entries in order of their numbers; never empty.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the class of the entries.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.class as u8
    }

    /// Acknowledges all entries. They are not delivered again, unless an earlier batch that is still out is dropped.
    /// Returns how many records that settled as acknowledged; records that were dropped while the batch was out already
    /// count as dropped. Does not wait for the disk: after a crash the last acknowledgements may be lost, and their
    /// records are delivered again.
    pub fn ack(mut self) -> u64 {
        self.is_acked = true;
        self.ack_through(u64::MAX)
    }

    /// Acknowledges the entries whose [`last_seq`](Entry::last_seq) is at most `seq`.
    pub fn ack_through(&self, seq: u64) -> u64 {
        self.handle.shared.update(|queue| queue.ack(self.class, self.id, seq))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.is_acked {
            self.handle.shared.update(|queue| queue.requeue(self.class, self.id));
        }
    }
}
