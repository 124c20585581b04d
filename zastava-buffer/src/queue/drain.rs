//! The consumer's half: read from the oldest, acknowledge from the oldest.

use std::collections::VecDeque;

use super::Queue;
use super::chunk::{Chunk, Fate};
use crate::entry::{Entry, Gap, Record};
use crate::error::Error;
use crate::scan::{Found, Position};
use crate::stats::DropReason;

/// Read at a time while draining; the next batch reads on from where this one was acknowledged.
const WINDOW_BYTES: usize = 64 << 10;

/// An entry of the latest batch: what must be known to settle it.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) last_seq: u64,
    records: u64,
    fate: Fate,
    end: Position,
}

/// A batch as it grows to its limits.
struct Batch {
    entries: Vec<Entry>,
    delivered: VecDeque<Delivered>,
    bytes: usize,
    records_max: usize,
    bytes_max: usize,
}

impl Queue {
    /// Whether there is anything the consumer has not acknowledged.
    pub(crate) fn has_entries(&self) -> bool {
        self.cursor.acknowledged_through < self.next_seq - 1
    }

    pub(crate) fn next_batch(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let (entries, delivered) = (Vec::new(), VecDeque::new());
        let mut batch = Batch { entries, delivered, bytes: 0, records_max, bytes_max };
        if batch.has_room(0) {
            batch.entries.extend(self.evicted().map(Entry::Gap));
        }
        for chunk in self.chunks.iter().filter(|chunk| !chunk.is_settled()) {
            match self.read(chunk, &mut batch) {
                Ok(true) => {}
                Ok(false) => break,
                // What was read before the failure is good; the failure comes again next time.
                Err(_) if !batch.entries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        // A shorter batch read in between does not narrow what may be acknowledged.
        if last_seq(&batch.delivered) >= last_seq(&self.delivered) {
            self.delivered = batch.delivered;
        }
        Ok(batch.entries)
    }

    /// The range that was evicted since the consumer last acknowledged something.
    fn evicted(&self) -> Option<Gap> {
        let (first_seq, last_seq) = (self.cursor.acknowledged_through + 1, self.cursor.released_through);
        let reason = DropReason::Evicted;
        (first_seq <= last_seq).then_some(Gap { first_seq, last_seq, kind: None, reason })
    }

    /// False when the batch is full.
    fn read(&self, chunk: &Chunk, batch: &mut Batch) -> Result<bool, Error> {
        if !batch.has_room(0) {
            return Ok(false);
        }
        let mut frames = chunk.frames(&self.storage, WINDOW_BYTES)?;
        while let Some(found) = frames.next()? {
            let (entry, delivered) = match found {
                Found::Record { payload, .. } if !batch.has_room(payload.len()) => return Ok(false),
                Found::Lost { .. } if !batch.has_room(0) => return Ok(false),
                Found::Record { seq, kind, payload } => {
                    batch.bytes += payload.len();
                    let record = Record { seq, epoch: chunk.epoch(), kind, bytes: payload.to_vec() };
                    (Entry::Record(record), (seq, 1, Fate::Live(kind)))
                }
                Found::Lost { first_seq, last_seq, kind, reason } => {
                    let gap = Gap { first_seq, last_seq, kind, reason };
                    (Entry::Gap(gap), (last_seq, gap.records(), Fate::Lost(kind, reason)))
                }
            };
            let (last_seq, records, fate) = delivered;
            batch.delivered.push_back(Delivered { last_seq, records, fate, end: frames.position() });
            batch.entries.push(entry);
        }
        Ok(true)
    }

    /// Settles all delivered entries that end at or before `seq`; how many records that acknowledged.
    pub(crate) fn ack_through(&mut self, seq: u64) -> Result<u64, Error> {
        if seq <= self.cursor.acknowledged_through {
            return Ok(0);
        }
        let delivered_through = last_seq(&self.delivered).max(self.cursor.released_through);
        if seq > delivered_through {
            return Err(Error::NotDelivered { seq, delivered_through });
        }
        let mut cursor = self.cursor.clone();
        let settled = self.delivered.partition_point(|delivered| delivered.last_seq <= seq);
        for delivered in self.delivered.range(..settled) {
            match delivered.fate {
                Fate::Live(_) => cursor.acked += delivered.records,
                Fate::Lost(kind, reason) => cursor.dropped.add(kind, reason, delivered.records),
            }
            cursor.released_through = delivered.last_seq;
        }
        cursor.acknowledged_through = cursor.acknowledged_through.max(seq.min(cursor.released_through));
        let acked = cursor.acked - self.cursor.acked;
        // Only an acknowledgement that frees a file needs a sync; losing another repeats records.
        let frees = !self.is_front_active()
            && self.chunks.front().is_some_and(|chunk| chunk.end_seq <= cursor.released_through + 1);
        self.save(cursor, frees)?;
        self.settle(settled);
        if frees {
            // The acknowledgement stands. A file that cannot be removed now is tried again at the
            // next occasion, and a push that needs its room reports the failure.
            let _ = self.retire();
        }
        Ok(acked)
    }

    fn settle(&mut self, count: usize) {
        for Delivered { last_seq, records, fate, end } in self.delivered.drain(..count) {
            if let Some(chunk) = self.chunks.iter_mut().find(|chunk| last_seq < chunk.end_seq) {
                chunk.settle(fate, records, end);
            }
        }
    }
}

impl Batch {
    /// The first entry always fits, or a long record could never be delivered.
    fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < self.records_max
            && (self.entries.is_empty() || self.bytes.saturating_add(bytes) <= self.bytes_max)
    }
}

fn last_seq(delivered: &VecDeque<Delivered>) -> u64 {
    delivered.back().map_or(0, |delivered| delivered.last_seq)
}
