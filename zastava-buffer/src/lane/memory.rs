//! Records in memory: blocks of frames as they will stand on disk, and gaps where blocks had to go.

use std::ops::Range;

use bytes::Bytes;

use super::{Lane, Place, Stretch};
use crate::config::Config;
use crate::entry::{Durability, Entry, Kind, Record};
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, encode_gap};
use crate::tally::{DropReason, Tally};

#[derive(Debug)]
pub(crate) struct Block {
    /// Its first number, settled or not.
    first: u64,
    /// Its frames, as long as more may come.
    open: Vec<u8>,
    /// Its frames from then on.
    closed: Bytes,
    /// It holds a record that may push out others.
    evicts: bool,
}

/// What the worker writes.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Bytes,
    /// Every number in it.
    pub(crate) tally: Tally,
}

impl Block {
    fn len(&self) -> usize {
        self.open.len() + self.closed.len()
    }

    /// The frames, which do not change any more.
    fn close(&mut self) -> Bytes {
        if self.closed.is_empty() {
            if self.open.capacity() > self.open.len() * 2 {
                self.open.shrink_to_fit();
            }
            self.closed = std::mem::take(&mut self.open).into();
        }
        self.closed.clone()
    }

    /// Its records from `seq` on.
    pub(super) fn entries(&mut self, seq: u64, epoch: u32) -> Vec<Entry> {
        let block = self.close();
        let entries = frames(&block).filter(|(header, _)| header.seq >= seq);
        let record = |(header, bytes): (FrameHeader, Bytes)| {
            Entry::Record(Record { seq: header.seq, epoch, kind: header.kind(), bytes, attempt: 1 })
        };
        entries.map(record).collect()
    }
}

/// The frames of a block that never left our memory.
fn frames(block: &Bytes) -> impl Iterator<Item = (FrameHeader, Bytes)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = FrameHeader::decode_own(block.get(at..)?.first_chunk()?);
        let start = at + FRAME_HEADER_BYTES;
        at = start + header.payload_bytes as usize;
        Some((header, block.slice(start..at)))
    })
}

impl Stretch {
    fn block(&self) -> Option<&Block> {
        if let Place::Memory(block) = &self.place { Some(block) } else { None }
    }

    fn first(&self) -> u64 {
        self.block().map_or(self.from, |block| block.first)
    }

    /// A block as it is, a gap without what of it is settled.
    fn piece(&mut self, salt: u32) -> Piece {
        let (first, end, mut tally) = (self.first(), self.end, Tally::default());
        let bytes = if let Place::Memory(block) = &mut self.place {
            let bytes = block.close();
            frames(&bytes).for_each(|(header, _)| tally.add((Some(header.kind()), None), 1));
            bytes
        } else {
            tally = self.tally.clone();
            encode_gap(first, &tally, salt).into()
        };
        Piece { first, end, bytes, tally }
    }
}

impl Lane {
    /// The record gets its number and a place in memory, for which there is room.
    pub(crate) fn push(&mut self, kind: Kind, bytes: &[u8], crc: u32, evicts: bool, config: &Config) -> u64 {
        let (seq, (block_bytes, block_records)) = (self.next_seq, config.block());
        let frame_bytes = FRAME_HEADER_BYTES + bytes.len();
        let has_room = |stretch: &Stretch| {
            let is_short = stretch.end - stretch.first() < block_records;
            let fits = |block: &Block| block.closed.is_empty() && block.len() + frame_bytes <= block_bytes;
            is_short && stretch.block().is_some_and(fits)
        };
        if !self.ring.back().is_some_and(has_room) {
            // As long as the last one, so that small records in a slow stream do not cost a whole block each.
            let capacity = self.block_hint.next_power_of_two().min(block_bytes).max(frame_bytes);
            let (open, closed) = (Vec::with_capacity(capacity), Bytes::new());
            let place = Place::Memory(Block { first: seq, open, closed, evicts });
            self.ring.push_back(Stretch { from: seq, end: seq, tally: Tally::default(), place });
        }
        if let Some(Stretch { end, tally, place: Place::Memory(block), .. }) = self.ring.back_mut() {
            block.open.extend_from_slice(&FrameHeader::new(seq, kind, bytes.len(), crc).encode(self.salt));
            block.open.extend_from_slice(bytes);
            self.block_hint = block.open.len();
            block.evicts |= evicts;
            *end = seq + 1;
            tally.add((Some(kind), None), 1);
        }
        self.next_seq = seq + 1;
        seq
    }

    /// What was accepted without a directory goes into one that was found now: under new numbers, and without what
    /// is settled.
    pub(crate) fn adopt(&mut self, memory: Self, config: &Config) {
        self.cursor.acked += memory.cursor.acked;
        self.cursor.dropped.merge(&memory.cursor.dropped);
        self.cursor.unnumbered += memory.cursor.told_through;
        self.is_dirty = true;
        for Stretch { from, end, tally, place } in memory.ring.into_iter().filter(|old| !old.is_settled()) {
            if let Place::Memory(mut old) = place {
                for (header, payload) in frames(&old.close()).filter(|(header, _)| header.seq >= from) {
                    self.push(header.kind(), &payload, header.payload_crc, old.evicts, config);
                }
            } else {
                let first = self.next_seq;
                self.next_seq += end - from;
                self.ring.push_back(Stretch { from: first, end: self.next_seq, tally, place });
            }
        }
    }

    /// How much memory each block takes, and for how many records.
    pub(crate) fn block_sizes(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let blocks = self.ring.iter().filter_map(|stretch| Some((stretch.end, stretch.block()?)));
        blocks.map(|(end, block)| (block.len(), end - block.first))
    }

    /// How safe the record is, or `None` if there is none or it was dropped from memory.
    pub(crate) fn safety(&self, seq: u64, when_handed_over: Durability) -> Option<Durability> {
        if seq == 0 || seq >= self.next_seq {
            return None;
        }
        match self.ring.iter().find(|stretch| seq < stretch.end).filter(|stretch| stretch.first() <= seq) {
            None => Some(when_handed_over),
            Some(stretch) if stretch.is_lost() => None,
            Some(_) => Some(if seq < self.written { Durability::Process } else { Durability::Memory }),
        }
    }

    /// Gives up the oldest block if it is settled and nobody has written it.
    pub(crate) fn forget_settled(&mut self) -> bool {
        let forgotten = self.ring.pop_front_if(|front| front.is_settled() && front.end > self.taken);
        if let Some(Stretch { end, .. }) = forgotten {
            (self.on_disk, self.written, self.taken) = (end, end, end);
        }
        forgotten.is_some()
    }

    /// Drops the oldest block that the worker is not busy with: its numbers, and how many records were pending.
    pub(crate) fn drop_from_ring(&mut self) -> Option<(Range<u64>, u64)> {
        let is_at_rest = |stretch: &Stretch| stretch.end > self.taken;
        let at = self.ring.iter().position(|stretch| is_at_rest(stretch) && !stretch.is_lost())?;
        // One gap as long as it fits in a frame.
        let fits = |gap: &Stretch| gap.is_lost() && self.ring[at].end - gap.from < u64::from(u32::MAX);
        let merges = at > 0 && is_at_rest(&self.ring[at - 1]) && fits(&self.ring[at - 1]);
        let stretch = &mut self.ring[at];
        let (numbers, dropped) = (stretch.from..stretch.end, stretch.tally.drop_all(DropReason::MemoryFull));
        stretch.place = Place::Lost;
        if merges && let Some(stretch) = self.ring.remove(at) {
            self.ring[at - 1].extend(&stretch);
        }
        self.forget_ahead(numbers.start);
        Some((numbers, dropped))
    }

    /// The oldest block or gap that is not written, and whether it may push out others; none if the group that is
    /// written is full, or the disk.
    pub(crate) fn next_piece(&mut self, group_records: u64) -> Option<(Piece, bool)> {
        let taken = self.taken;
        // The consumer knows of these already.
        self.ring.retain(|stretch| !(stretch.is_lost() && stretch.is_settled() && stretch.end > taken));
        let evicts_any = |stretch: &Stretch| stretch.block().is_some_and(|block| block.evicts);
        let evicts = self.ring.iter().any(|stretch| stretch.end > taken && evicts_any(stretch));
        if self.unsynced() >= group_records || (self.is_full && !evicts) {
            return None;
        }
        let piece = self.ring.iter_mut().find(|stretch| stretch.end > taken)?.piece(self.salt);
        self.taken = piece.end;
        Some((piece, evicts))
    }

    /// What the worker took is in the active segment, or else nowhere.
    pub(crate) fn piece_done(&mut self, is_written: bool) {
        if is_written {
            self.written = self.taken;
        } else {
            self.taken = self.written;
        }
        self.is_full = !is_written;
    }

    /// What was written and is still in memory has to be written again.
    pub(crate) fn write_again(&mut self) {
        (self.written, self.taken) = (self.on_disk, self.on_disk);
    }

    /// Somebody waits until what is in memory is that safe; its last number.
    pub(crate) fn flush(&mut self, level: Durability) -> u64 {
        if level == Durability::Power {
            self.flush = self.next_seq;
        }
        self.next_seq - 1
    }

    pub(crate) fn is_flushing(&self) -> bool {
        self.on_disk < self.flush
    }

    /// Numbers written and not synced.
    pub(crate) fn unsynced(&self) -> u64 {
        self.written - self.on_disk
    }
}
