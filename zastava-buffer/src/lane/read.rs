//! The consumer's half: what comes next, and where it has to be read from.

use super::{Delivered, Delivery, Lane, Outstanding, Segment};
use crate::entry::{Entry, Gap};
use crate::scan::Extent;

/// Entries are read ahead up to so many bytes of payload.
const AHEAD_BYTES: usize = 512 << 10;

/// What the worker reads.
#[derive(Debug)]
pub(crate) struct ReadJob {
    pub(crate) extent: Extent,
    pub(crate) epoch: u32,
    pub(crate) reads: u64,
}

impl Lane {
    /// Whether there is anything for the consumer that is not with it already.
    pub(crate) fn has_entries(&self) -> bool {
        self.read_seq < self.next_seq || self.has_untold()
    }

    fn has_untold(&self) -> bool {
        self.cursor.told_through < self.cursor.released_through
    }

    /// The next entries as batch `id`, or none if there are none yet: then the worker is told to read them.
    pub(crate) fn next_batch(&mut self, id: u64, records_max: usize, bytes_max: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if self.has_untold() {
            // The records before the gap first: they are out, and may still be settled.
            if !self.outstanding.is_empty() {
                return entries;
            }
            let (first_seq, last_seq) = (self.cursor.told_through + 1, self.cursor.released_through);
            entries.push(Entry::Gap(Gap { first_seq, last_seq, counts: self.cursor.untold.clone() }));
        }
        while entries.len() < records_max {
            self.load_from_ring();
            let Some(entry) = self.ahead.front() else { break };
            bytes += entry.payload_bytes();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            self.read_seq = entry.last_seq() + 1;
            self.ahead_bytes -= entry.payload_bytes();
            entries.extend(self.ahead.pop_front());
        }
        let is_in_store = self.ring.front().is_none_or(|slot| self.ahead_end < slot.first);
        self.wants_read = self.ahead_end < self.next_seq && is_in_store && self.ahead_bytes < AHEAD_BYTES / 2;
        self.remember(id, &mut entries);
        entries
    }

    fn remember(&mut self, id: u64, entries: &mut [Entry]) {
        let (through, again) = self.retried;
        let mut attempt = 1;
        for entry in entries.iter_mut() {
            if let Entry::Record(record) = entry
                && record.seq <= through
            {
                (record.attempt, attempt) = (again, again);
            }
        }
        if entries.is_empty() {
            return;
        }
        let delivered = |entry: &Entry| Delivered {
            first: entry.first_seq(),
            last: entry.last_seq(),
            what: match entry {
                Entry::Record(record) => Delivery::Record(record.kind),
                Entry::Gap(gap) => Delivery::Gap(gap.counts.clone()),
            },
        };
        let entries = entries.iter().map(delivered).collect();
        self.outstanding.push_back(Outstanding { id, attempt, acked_through: 0, entries });
    }

    pub(crate) fn batches_out(&self) -> usize {
        self.outstanding.len()
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.wants_read
    }

    /// What is in memory needs no worker.
    fn load_from_ring(&mut self) {
        if !self.ahead.is_empty() || self.ahead_end >= self.next_seq {
            return;
        }
        let (seq, epoch) = (self.ahead_end, self.cursor.epoch);
        if let Some(slot) = self.ring.iter_mut().find(|slot| seq < slot.end).filter(|slot| slot.first <= seq)
        {
            slot.entries(seq, epoch, &mut self.ahead);
            self.ahead_end = slot.end;
            self.ahead_bytes = self.ahead.iter().map(Entry::payload_bytes).sum();
        }
    }

    pub(super) fn forget_ahead(&mut self) {
        self.ahead.clear();
        (self.ahead_end, self.ahead_bytes) = (self.read_seq, 0);
        self.reads += 1;
    }

    /// What the worker should read next: of the first segment with unread numbers.
    pub(crate) fn read_job(&mut self) -> Option<Result<ReadJob, Entry>> {
        if !self.wants_read || self.ahead_bytes >= AHEAD_BYTES {
            return None;
        }
        let seq = self.ahead_end;
        let Some(segment) = self.segments.iter().find(|segment| seq < segment.end) else {
            self.wants_read = false;
            return None;
        };
        let seq = seq.max(segment.from);
        let job =
            segment.extent(seq).map(|extent| ReadJob { extent, epoch: segment.epoch(), reads: self.reads });
        Some(job.ok_or_else(|| {
            let (last_seq, mut tally) = (segment.end - 1, segment.tally.clone());
            tally.keep(segment.end - seq);
            Entry::Gap(Gap { first_seq: seq, last_seq, counts: tally.drops() })
        }))
    }

    /// The worker has read these, up to `end`.
    pub(crate) fn read(&mut self, reads: u64, entries: Vec<Entry>, end: u64) {
        if reads == self.reads {
            self.ahead_bytes += entries.iter().map(Entry::payload_bytes).sum::<usize>();
            self.ahead.extend(entries);
            self.ahead_end = end;
        }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    /// The segment that holds this number.
    pub(crate) fn segment_mut(&mut self, seq: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| seq < segment.end)
    }
}
