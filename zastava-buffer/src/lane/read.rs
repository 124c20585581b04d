//! Delivery: which entries come next, where to read them, and which batches are out.

use std::sync::Arc;

use super::{Lane, Location};
use crate::counts::Counts;
use crate::entry::Entry;
use crate::scan::Extent;

/// A batch that is out.
#[derive(Debug)]
pub(super) struct OutstandingBatch {
    id: u64,
    entries: Arc<[Entry]>,
    acked_through: u64,
    /// Number of entries that are settled.
    settled: usize,
}

impl Lane {
    /// Returns true if there is an entry that is not settled and not out.
    pub(crate) fn has_entries(&self) -> bool {
        self.read_seq < self.next_seq
    }

    pub(crate) fn batches_out(&self) -> usize {
        self.out.len()
    }

    /// Takes the next entries as batch `id`. If none are in memory, asks the worker to read and returns `None`.
    pub(crate) fn next_batch(&mut self, id: u64, records: usize, bytes_max: usize) -> Option<Arc<[Entry]>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < records
            && let Some(entry) = self.peek()
        {
            bytes += entry.payload_bytes();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            self.read_seq = entry.last_seq() + 1;
            entries.extend(self.ahead.pop_front());
        }
        let is_low = self.ahead.len() <= self.ahead_low;
        self.wants_read |= is_low && self.read_job().is_some();
        if entries.is_empty() {
            return None;
        }
        let entries: Arc<[Entry]> = entries.into();
        self.out.push_back(OutstandingBatch {
            id,
            entries: Arc::clone(&entries),
            acked_through: 0,
            settled: 0,
        });
        Some(entries)
    }

    /// Returns the next entry if it is in memory.
    fn peek(&mut self) -> Option<&Entry> {
        let (seq, epoch) = (self.read_seq, self.cursor.epoch);
        let mut ranges = self.segments.iter_mut().chain(&mut self.ring);
        let range = ranges.find(|range| seq < range.end)?;
        match &mut range.location {
            // The first numbers of this range are out as records. Only when they are settled is it known what is lost.
            Location::Lost if range.from < seq => return None,
            Location::Lost if self.ahead.is_empty() => {
                self.ahead.push_front(Entry::gap(range.from, range.counts.clone()));
            }
            Location::Memory(block) if self.ahead.is_empty() => self.ahead.extend(block.entries(seq, epoch)),
            _ => {}
        }
        self.ahead.front()
    }

    /// Discards entries that were read ahead, from `seq` on: their records were dropped.
    pub(super) fn forget_ahead(&mut self, seq: u64) {
        while self.ahead.pop_back_if(|entry| entry.last_seq() >= seq).is_some() {}
    }

    /// Returns the number after the last entry that was read ahead.
    fn ahead_end(&self) -> u64 {
        self.ahead.back().map_or(self.read_seq, |last| last.last_seq() + 1)
    }

    /// Returns what the worker should read next.
    pub(crate) fn read_job(&self) -> Option<Extent> {
        let seq = self.ahead_end();
        self.range_at(seq)?.extent(seq)
    }

    /// Adds entries that the worker read from `seq` on.
    pub(crate) fn read(&mut self, seq: u64, entries: Vec<Entry>) {
        if seq == self.ahead_end() {
            self.ahead.extend(entries);
            self.ahead_low = self.ahead.len() / 2;
        }
    }

    /// Acknowledges batch `id` through this number. Returns how many records that settled.
    pub(crate) fn ack(&mut self, id: u64, through: u64) -> u64 {
        let before = self.cursor.acked;
        let Some(batch) = self.out.iter_mut().find(|batch| batch.id == id) else { return 0 };
        batch.acked_through = batch.acked_through.max(through);
        while let Some(mut batch) = self.out.pop_front() {
            let acked = batch.entries[batch.settled..].iter();
            for entry in acked.take_while(|entry| entry.last_seq() <= batch.acked_through) {
                self.settle(entry);
                batch.settled += 1;
            }
            if batch.settled < batch.entries.len() {
                self.out.push_front(batch);
                break;
            }
        }
        self.sweep();
        self.cursor.acked - before
    }

    /// Settles an entry. A record that was dropped while it was out counts as dropped.
    fn settle(&mut self, entry: &Entry) {
        let last = entry.last_seq();
        let Some(range) = self.range_at_mut(last) else { return };
        range.from = last + 1;
        let (mut acked, mut dropped) = (0, Counts::default());
        match entry {
            Entry::Record(record) if range.counts.take_of((Some(record.kind), None), 1) == 1 => acked += 1,
            Entry::Record(record) => dropped = range.counts.take((Some(record.kind), None), 1),
            Entry::Gap(gap) => {
                for (kind, reason, count) in gap.counts.iter() {
                    dropped.merge(&range.counts.take((kind, Some(reason)), count));
                }
            }
        }
        self.cursor.acked += acked + dropped.live();
        self.cursor.dropped.merge(&dropped.drops());
        self.cursor.reported_through = last;
        self.is_dirty = true;
    }

    /// Puts the unsettled entries of the batch back, and those of later batches.
    pub(crate) fn requeue(&mut self, id: u64) {
        let Some(at) = self.out.iter().position(|batch| batch.id == id) else { return };
        for batch in self.out.drain(at..).rev() {
            for entry in batch.entries[batch.settled..].iter().rev() {
                let mut entry = entry.clone();
                if let Entry::Record(record) = &mut entry {
                    record.attempt += 1;
                }
                self.read_seq = entry.first_seq();
                self.ahead.push_front(entry);
            }
        }
    }
}
