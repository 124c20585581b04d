//! The end that takes records out.

use std::sync::Arc;
use std::task::Poll;

use crate::entry::Entry;
use crate::queue::Queue;
use crate::queue::QueueHandle;
use crate::stats::Stats;

/// Takes records out, oldest first within a class, what matters most first among classes. There is one.
#[derive(Debug)]
pub struct Consumer {
    handle: Arc<QueueHandle>,
}

impl Consumer {
    pub(crate) fn new(handle: Arc<QueueHandle>) -> Self {
        Self { handle }
    }

    /// Waits for the next entries, which are of one class: at most `records_max` of them, with at most `bytes_max`
    /// bytes together, but one at least however long it is. `None` once the buffer is closed and nothing more is in
    /// memory; what is on disk stays for the next opening.
    ///
    /// With [`BufferOptions::batches_max`](crate::BufferOptions::batches_max) batches out it waits for one of them. Nothing is
    /// consumed by the call, nor lost by dropping its future.
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

    /// The next entries if they are in memory. `None` also while they are being read.
    pub fn try_next_batch(&mut self, records_max: usize, bytes_max: usize) -> Option<Batch> {
        self.handle.shared.update(|queue| self.take(queue, records_max, bytes_max))
    }

    /// Whether everything accepted is acknowledged, dropped and told, or out in a batch.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.handle.shared.update(|queue| !queue.lanes.iter().any(|lane| lane.has_entries()))
    }

    /// The books at one moment.
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

/// Entries on their way. Only [`ack`](Self::ack) and [`ack_through`](Self::ack_through) settle them; what is not
/// acknowledged when the batch is dropped comes again.
#[derive(Debug)]
#[must_use = "a batch that is dropped comes again"]
pub struct Batch {
    handle: Arc<QueueHandle>,
    class: usize,
    id: u64,
    entries: Arc<[Entry]>,
    is_acked: bool,
}

impl Batch {
    /// In order of their numbers; never empty.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The class that all entries are of.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.class as u8
    }

    /// All entries are done: they do not come again, unless an earlier batch that is still out is dropped. Returns how
    /// many records that settled; those dropped while they were on their way are counted as dropped already. Does
    /// not wait for the disk: after a crash the last acknowledgements may be forgotten, and their records come again.
    pub fn ack(mut self) -> u64 {
        self.is_acked = true;
        self.ack_through(u64::MAX)
    }

    /// The same for the entries whose [`last_seq`](Entry::last_seq) is `seq` or less.
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
