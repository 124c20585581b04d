//! Records in memory: blocks of frames, encoded as on disk, and gaps where blocks were dropped.

use std::ops::Range;

use bytes::Bytes;

use super::{Lane, Location, SeqRange};
use crate::counts::Counts;
use crate::drop_reason::DropReason;
use crate::entry::{Durability, Entry, Record};
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, encode_gap};
use crate::kind::Kind;
use crate::options::BufferOptions;

/// Records in memory, as a block of encoded frames.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first number of the block, settled or not.
    first: u64,
    /// The frames while more can be added.
    open: Vec<u8>,
    /// The frames once the block is closed.
    closed: Bytes,
    /// True if it holds a record that may drop others.
    evicts: bool,
}

/// A closed block or an encoded gap, ready to be written.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Bytes,
    /// Counts of all its numbers.
    pub(crate) counts: Counts,
}

impl Block {
    fn len(&self) -> usize {
        self.open.len() + self.closed.len()
    }

    /// Closes the block and returns its frames.
    fn close(&mut self) -> Bytes {
        if self.closed.is_empty() {
            if self.open.capacity() > self.open.len() * 2 {
                self.open.shrink_to_fit();
            }
            self.closed = std::mem::take(&mut self.open).into();
        }
        self.closed.clone()
    }

    /// Returns the records from `seq` on.
    pub(super) fn entries(&mut self, seq: u64, epoch: u32) -> Vec<Entry> {
        let block = self.close();
        let entries = frames(&block).filter(|(header, _)| header.seq >= seq);
        let record = |(header, bytes): (FrameHeader, Bytes)| {
            Entry::Record(Record { seq: header.seq, epoch, kind: header.kind(), bytes, attempt: 1 })
        };
        entries.map(record).collect()
    }
}

/// Decodes the frames of a block. It never left our memory, so checksums are not checked.
fn frames(block: &Bytes) -> impl Iterator<Item = (FrameHeader, Bytes)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = FrameHeader::decode_own(block.get(at..)?.first_chunk()?);
        let start = at + FRAME_HEADER_BYTES;
        at = start + header.payload_bytes as usize;
        Some((header, block.slice(start..at)))
    })
}

impl SeqRange {
    fn block(&self) -> Option<&Block> {
        if let Location::Memory(block) = &self.location { Some(block) } else { None }
    }

    fn first(&self) -> u64 {
        self.block().map_or(self.from, |block| block.first)
    }

    /// Encodes the range: a block whole, a gap without its settled numbers.
    fn chunk(&mut self, salt: u32) -> Chunk {
        let (first, end, mut counts) = (self.first(), self.end, Counts::default());
        let bytes = if let Location::Memory(block) = &mut self.location {
            let bytes = block.close();
            frames(&bytes).for_each(|(header, _)| counts.add((Some(header.kind()), None), 1));
            bytes
        } else {
            counts = self.counts.clone();
            encode_gap(first, &counts, salt).into()
        };
        Chunk { first, end, bytes, counts }
    }
}

impl Lane {
    /// Adds a record. The caller has made room for it.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        crc: u32,
        evicts: bool,
        options: &BufferOptions,
    ) -> u64 {
        let (seq, (block_bytes, block_records)) = (self.next_seq, options.block());
        let frame_bytes = FRAME_HEADER_BYTES + bytes.len();
        let has_room = |range: &SeqRange| {
            let is_short = range.end - range.first() < block_records;
            let fits = |block: &Block| block.closed.is_empty() && block.len() + frame_bytes <= block_bytes;
            is_short && range.block().is_some_and(fits)
        };
        if !self.ring.back().is_some_and(has_room) {
            // Sized by the last block, so that a slow stream of small records does not allocate a whole block for each.
            let capacity = self.block_hint.next_power_of_two().min(block_bytes).max(frame_bytes);
            let (open, closed) = (Vec::with_capacity(capacity), Bytes::new());
            let location = Location::Memory(Block { first: seq, open, closed, evicts });
            self.ring.push_back(SeqRange { from: seq, end: seq, counts: Counts::default(), location });
        }
        if let Some(SeqRange { end, counts, location: Location::Memory(block), .. }) = self.ring.back_mut() {
            block.open.extend_from_slice(&FrameHeader::new(seq, kind, bytes.len(), crc).encode(self.salt));
            block.open.extend_from_slice(bytes);
            self.block_hint = block.open.len();
            block.evicts |= evicts;
            *end = seq + 1;
            counts.add((Some(kind), None), 1);
        }
        self.next_seq = seq + 1;
        seq
    }

    /// Takes over the unsettled records that were accepted before the directory was available, under new numbers.
    pub(crate) fn adopt(&mut self, memory: Self, options: &BufferOptions) {
        self.cursor.acked += memory.cursor.acked;
        self.cursor.dropped.merge(&memory.cursor.dropped);
        self.cursor.unnumbered += memory.cursor.reported_through;
        self.is_dirty = true;
        for SeqRange { from, end, counts, location } in
            memory.ring.into_iter().filter(|old| !old.is_settled())
        {
            if let Location::Memory(mut old) = location {
                for (header, payload) in frames(&old.close()).filter(|(header, _)| header.seq >= from) {
                    self.push(header.kind(), &payload, header.payload_crc, old.evicts, options);
                }
            } else {
                let first = self.next_seq;
                self.next_seq += end - from;
                self.ring.push_back(SeqRange { from: first, end: self.next_seq, counts, location });
            }
        }
    }

    /// Returns the bytes and records of each block.
    pub(crate) fn block_sizes(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let blocks = self.ring.iter().filter_map(|range| Some((range.end, range.block()?)));
        blocks.map(|(end, block)| (block.len(), end - block.first))
    }

    /// Returns how durable the record is. `None` if there is no such record or it was dropped from memory.
    pub(crate) fn durability(&self, seq: u64, once_on_disk: Durability) -> Option<Durability> {
        if seq == 0 || seq >= self.next_seq {
            return None;
        }
        match self.ring.iter().find(|range| seq < range.end).filter(|range| range.first() <= seq) {
            None => Some(once_on_disk),
            Some(range) if range.is_lost() => None,
            Some(_) => Some(if seq < self.written { Durability::Process } else { Durability::Memory }),
        }
    }

    /// Frees the oldest block if it is settled and the worker has not taken it.
    pub(crate) fn forget_settled(&mut self) -> bool {
        let forgotten = self.ring.pop_front_if(|front| front.is_settled() && front.end > self.taken);
        if let Some(SeqRange { end, .. }) = forgotten {
            (self.on_disk, self.written, self.taken) = (end, end, end);
        }
        forgotten.is_some()
    }

    /// Drops the oldest block that the worker has not taken. Returns its numbers and how many of its records were
    /// pending.
    pub(crate) fn drop_from_ring(&mut self) -> Option<(Range<u64>, u64)> {
        let is_at_rest = |range: &SeqRange| range.end > self.taken;
        let at = self.ring.iter().position(|range| is_at_rest(range) && !range.is_lost())?;
        // Adjacent gaps are merged as long as the result fits in one frame.
        let fits = |gap: &SeqRange| gap.is_lost() && self.ring[at].end - gap.from < u64::from(u32::MAX);
        let merges = at > 0 && is_at_rest(&self.ring[at - 1]) && fits(&self.ring[at - 1]);
        let range = &mut self.ring[at];
        let (numbers, dropped) = (range.from..range.end, range.counts.drop_all(DropReason::MemoryFull));
        range.location = Location::Lost;
        if merges && let Some(range) = self.ring.remove(at) {
            self.ring[at - 1].extend(&range);
        }
        self.forget_ahead(numbers.start);
        Some((numbers, dropped))
    }

    /// Takes the oldest block or gap that is not written. The flag says whether it may evict others. `None` if the
    /// current group is full, or the disk is.
    pub(crate) fn next_chunk(&mut self, group_records: u64) -> Option<(Chunk, bool)> {
        let taken = self.taken;
        // The consumer has settled these gaps, so they need not be written.
        self.ring.retain(|range| !(range.is_lost() && range.is_settled() && range.end > taken));
        let evicts_any = |range: &SeqRange| range.block().is_some_and(|block| block.evicts);
        let evicts = self.ring.iter().any(|range| range.end > taken && evicts_any(range));
        if self.unsynced() >= group_records || (self.is_full && !evicts) {
            return None;
        }
        let chunk = self.ring.iter_mut().find(|range| range.end > taken)?.chunk(self.salt);
        self.taken = chunk.end;
        Some((chunk, evicts))
    }

    /// Notes whether the chunk that the worker took was written.
    pub(crate) fn chunk_done(&mut self, is_written: bool) {
        if is_written {
            self.written = self.taken;
        } else {
            self.taken = self.written;
        }
        self.is_full = !is_written;
    }

    /// Marks written records that are still in memory as not written.
    pub(crate) fn write_again(&mut self) {
        (self.written, self.taken) = (self.on_disk, self.on_disk);
    }

    /// Notes that a flush waits for this durability. Returns the last number that it waits for.
    pub(crate) fn flush(&mut self, level: Durability) -> u64 {
        if level == Durability::Power {
            self.flush = self.next_seq;
        }
        self.next_seq - 1
    }

    pub(crate) fn is_flushing(&self) -> bool {
        self.on_disk < self.flush
    }

    /// Returns how many numbers are written and not synced.
    pub(crate) fn unsynced(&self) -> u64 {
        self.written - self.on_disk
    }
}
