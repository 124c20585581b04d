//! The steps of producers.

use super::Queue;
use crate::drop_reason::DropReason;
use crate::entry::{Durability, PushOutcome, RefusalReason};
use crate::error::Error;
use crate::format::FRAME_HEADER_BYTES;
use crate::kind::Kind;
use crate::lane::Lane;
use crate::options::WhenFull;

impl Queue {
    /// Accepts a record into memory. `crc` is the checksum of the payload.
    pub(crate) fn push(&mut self, kind: Kind, payload: &[u8], crc: u32) -> Result<u64, RefusalReason> {
        let policy = self.options.policy(kind);
        let evicts = policy.when_full == WhenFull::DropOldest;
        let class = usize::from(policy.class);
        self.make_room(class, evicts, payload.len())?;
        let seq = self.lanes[class].push(kind, payload, crc, evicts, &self.options);
        self.ring_bytes += FRAME_HEADER_BYTES + payload.len();
        self.ring_records += 1;
        self.has_work = true;
        self.wake_consumer();
        Ok(seq)
    }

    fn make_room(&mut self, class: usize, evicts: bool, bytes: usize) -> Result<(), RefusalReason> {
        if bytes > self.options.record_bytes_max {
            return Err(RefusalReason::TooLarge);
        }
        if self.is_closing {
            return Err(RefusalReason::Closed);
        }
        if self.lanes[class].is_full && !evicts {
            return Err(RefusalReason::Full);
        }
        while self.ring_bytes + FRAME_HEADER_BYTES + bytes > self.options.ring_bytes
            || self.ring_records >= self.options.ring_records
        {
            // Settled blocks go first: they cost nothing.
            let is_freed = self.lanes.iter_mut().any(Lane::forget_settled);
            let has_room = is_freed || evicts && self.drop_from_ring(class);
            if !has_room {
                return Err(RefusalReason::Full);
            }
            self.count_ring();
        }
        Ok(())
    }

    /// Drops the oldest block in memory, from the lowest class that has one, and never from a class above `class`.
    fn drop_from_ring(&mut self, class: usize) -> bool {
        for victim in (class..self.lanes.len()).rev() {
            let Some((numbers, dropped)) = self.lanes[victim].drop_from_ring() else { continue };
            self.evicted_since_push += dropped;
            for waiter in self.waiters.values_mut() {
                if waiter.record.is_some_and(|(class, seq)| class == victim && numbers.contains(&seq)) {
                    waiter.is_dropped = true;
                    self.to_wake.extend(waiter.waker.take());
                }
            }
            return true;
        }
        false
    }

    pub(crate) fn push_outcome(&mut self, seq: u64) -> PushOutcome {
        match std::mem::take(&mut self.evicted_since_push) {
            0 => PushOutcome::Stored { seq },
            count => PushOutcome::Evicted { seq, count },
        }
    }

    /// Counts a push that was refused for good.
    pub(crate) fn count_refused(&mut self, kind: Kind, refusal: RefusalReason) -> RefusalReason {
        let reason = match refusal {
            RefusalReason::TooLarge => DropReason::TooLarge,
            RefusalReason::Full => DropReason::Full,
            RefusalReason::Closed => DropReason::Closed,
        };
        self.refused.0.add((Some(kind), Some(reason)), 1);
        refusal
    }

    /// Returns how durable the record is, or `None` if it was dropped from memory.
    pub(crate) fn durability(&self, class: usize, seq: u64) -> Option<Durability> {
        let on_disk = if self.options.is_synced() { Durability::Power } else { Durability::Process };
        self.lanes[class].durability(seq, if self.has_store { on_disk } else { Durability::Memory })
    }

    /// Returns the outcome of waiting for this durability, or `None` while the record can still reach it.
    pub(crate) fn reached(&self, class: usize, seq: u64, level: Durability) -> Option<Result<u64, Error>> {
        let is_stuck = self.has_ended || self.is_write_failing || self.lanes[class].is_full;
        match self.durability(class, seq) {
            None => Some(Err(Error::Dropped { seq })),
            Some(reached) if reached >= level => Some(Ok(seq)),
            _ if is_stuck || level == Durability::Power && !self.options.is_synced() => {
                Some(Err(Error::NotDurable))
            }
            _ => None,
        }
    }

    /// Makes a commit due if `level` needs one. Returns the classes that hold something and the last number of each.
    pub(crate) fn flush(&mut self, level: Durability) -> Vec<(usize, u64)> {
        self.has_work = true;
        let last = self.lanes.iter_mut().map(|lane| lane.flush(level));
        last.enumerate().filter(|(_, seq)| *seq > 0).collect()
    }

    /// Remembers which record a waiter waits for. Returns true if that record was dropped from memory. The lane
    /// cannot answer this once the consumer has settled the gap.
    pub(crate) fn watch(&mut self, id: u64, class: usize, seq: u64) -> bool {
        let waiter = self.waiters.entry(id).or_default();
        waiter.record = Some((class, seq));
        waiter.is_dropped
    }
}
