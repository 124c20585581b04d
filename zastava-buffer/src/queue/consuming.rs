//! The steps of the consumer.

use std::sync::Arc;

use super::Queue;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::stats::StorageHealth;

impl Queue {
    /// Returns the next batch of the highest class that holds something: its class, its id and its entries. `None`
    /// if the worker has to read first.
    pub(crate) fn next_batch(&mut self, records: usize, bytes: usize) -> Option<(usize, u64, Arc<[Entry]>)> {
        let out: usize = self.lanes.iter().map(Lane::batches_out).sum();
        if out >= self.options.batches_max {
            return None;
        }
        self.batches += 1;
        for (class, lane) in self.lanes.iter_mut().enumerate() {
            let entries = lane.next_batch(self.batches, records.max(1), bytes);
            self.has_work |= lane.wants_read;
            if let Some(entries) = entries {
                return Some((class, self.batches, entries));
            }
            // Records that still have to be read go before records of lower classes.
            if lane.wants_read {
                return None;
            }
        }
        None
    }

    /// Acknowledges the batch through this number. Returns how many records that settled.
    pub(crate) fn ack(&mut self, class: usize, id: u64, through: u64) -> u64 {
        // An acknowledgement that frees no file can wait until the cursor is due.
        let lane = &mut self.lanes[class];
        let was_dirty = lane.is_dirty;
        let settled = lane.ack(id, through);
        self.has_work |= !was_dirty || !lane.garbage.is_empty();
        self.wake_consumer();
        if self.health != StorageHealth::Ok {
            // Nothing is written now, so the room that this frees in memory is what producers wait for.
            self.wake_waiters();
        }
        settled
    }

    /// Puts the batch back, to be delivered again.
    pub(crate) fn requeue(&mut self, class: usize, id: u64) {
        self.lanes[class].requeue(id);
        self.wake_consumer();
    }
}
