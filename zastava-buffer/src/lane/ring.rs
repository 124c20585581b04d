//! Records in memory: blocks of frames as they will stand on disk, and gaps where blocks had to go.

use bytes::Bytes;

use super::Lane;
use crate::entry::{Entry, Gap, Kind, Record};
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, encode_gap};
use crate::tally::{DropReason, Fate, Tally};

/// Some numbers in a row.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) first: u64,
    /// The first number that is not settled.
    pub(crate) from: u64,
    /// One above the last number.
    pub(crate) end: u64,
    content: Content,
    /// The numbers from `from` to `end`.
    pub(crate) tally: Tally,
    /// In the active segment, but perhaps not synced.
    pub(crate) is_written: bool,
    /// The worker is writing it.
    pub(crate) is_in_flight: bool,
    pub(crate) written_bytes: u64,
    /// It holds a record that may push out others.
    evicts: bool,
}

#[derive(Debug)]
enum Content {
    Open(Vec<u8>),
    Closed(Bytes),
    Gap,
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

impl Slot {
    fn open(seq: u64, capacity: usize) -> Self {
        Self::new(seq, seq, Content::Open(Vec::with_capacity(capacity)))
    }

    fn new(first: u64, end: u64, content: Content) -> Self {
        let (tally, written_bytes) = (Tally::default(), 0);
        let (is_written, is_in_flight, evicts) = (false, false, false);
        Self { first, from: first, end, content, tally, is_written, is_in_flight, written_bytes, evicts }
    }

    pub(crate) fn is_gap(&self) -> bool {
        matches!(self.content, Content::Gap)
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.content {
            Content::Open(bytes) => bytes.len(),
            Content::Closed(bytes) => bytes.len(),
            Content::Gap => 0,
        }
    }

    fn is_at_rest(&self) -> bool {
        !self.is_written && !self.is_in_flight
    }

    /// The frames, which do not change any more.
    fn close(&mut self) -> Bytes {
        if let Content::Open(bytes) = &mut self.content {
            if bytes.capacity() > bytes.len() * 2 {
                bytes.shrink_to_fit();
            }
            self.content = Content::Closed(Bytes::from(std::mem::take(bytes)));
        }
        match &self.content {
            Content::Closed(bytes) => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    fn piece(&mut self, salt: u32) -> Piece {
        let bytes = self.close();
        let mut piece = Piece { first: self.first, end: self.end, bytes, tally: Tally::default() };
        if self.is_gap() {
            // What of it is settled already is not written.
            (self.first, piece.first) = (self.from, self.from);
            piece.tally = self.tally.clone();
            piece.bytes = encode_gap(self.from, &self.tally, salt).into();
        } else {
            frames(&piece.bytes).for_each(|(header, _)| piece.tally.add(Fate::Live(header.kind), 1));
        }
        self.written_bytes = piece.bytes.len() as u64;
        piece
    }

    /// Unsettled numbers as entries, from `seq` on.
    pub(super) fn entries(&mut self, seq: u64, epoch: u32, out: &mut impl Extend<Entry>) {
        if self.is_gap() {
            let mut tally = self.tally.clone();
            let first = seq.max(self.from);
            tally.keep(self.end - first);
            let gap = Gap { first_seq: first, last_seq: self.end - 1, counts: tally.drops() };
            out.extend([Entry::Gap(gap)]);
            return;
        }
        let bytes = self.close();
        out.extend(frames(&bytes).filter(|(header, _)| header.seq >= seq).map(|(header, payload)| {
            let (seq, kind, attempt) = (header.seq, header.kind, 1);
            Entry::Record(Record { seq, epoch, kind, bytes: payload, attempt })
        }));
    }

    /// The same content with other numbers and another salt; without what is settled.
    pub(super) fn renumber(mut self, first: u64, salt: u32) -> Option<Self> {
        let (from, mut end) = (self.from, first);
        if self.from >= self.end {
            return None;
        }
        let mut content = Content::Gap;
        if self.is_gap() {
            end += self.end - self.from;
        } else {
            let mut bytes = Vec::with_capacity(self.bytes());
            for (mut header, payload) in frames(&self.close()).filter(|(header, _)| header.seq >= from) {
                header.seq = end;
                bytes.extend_from_slice(&header.encode(salt));
                bytes.extend_from_slice(&payload);
                end += 1;
            }
            content = Content::Closed(bytes.into());
        }
        let renumbered = Self::new(first, end, content);
        Some(Self { tally: self.tally, evicts: self.evicts, ..renumbered })
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

impl Lane {
    /// The record gets its number and a place in memory, for which there is room.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        payload: &[u8],
        crc: u32,
        evicts: bool,
        (block_bytes, block_records): (usize, u64),
    ) -> u64 {
        let seq = self.next_seq;
        let frame_bytes = FRAME_HEADER_BYTES + payload.len();
        let has_room = |slot: &Slot| match &slot.content {
            Content::Open(bytes) => {
                bytes.len() + frame_bytes <= block_bytes && slot.end - slot.first < block_records
            }
            _ => false,
        };
        if !self.ring.back().is_some_and(has_room) {
            // As long as the last one, so that small records in a slow stream do not cost a whole block each.
            let capacity = self.block_hint.next_power_of_two().min(block_bytes).max(frame_bytes);
            self.ring.push_back(Slot::open(seq, capacity));
        }
        if let Some(slot) = self.ring.back_mut()
            && let Content::Open(bytes) = &mut slot.content
        {
            bytes.extend_from_slice(&FrameHeader::new(seq, kind, payload.len(), crc).encode(self.salt));
            bytes.extend_from_slice(payload);
            self.block_hint = bytes.len();
            slot.end = seq + 1;
            slot.tally.add(Fate::Live(kind), 1);
            slot.evicts |= evicts;
        }
        self.next_seq = seq + 1;
        seq
    }

    pub(crate) fn ring_bytes(&self) -> usize {
        self.ring.iter().map(Slot::bytes).sum()
    }

    pub(crate) fn ring_records(&self) -> u64 {
        let blocks = self.ring.iter().filter(|slot| !slot.is_gap());
        blocks.map(|slot| slot.end - slot.first).sum()
    }

    /// Drops the oldest block that the worker is not busy with: its numbers, and how many records were pending.
    pub(crate) fn drop_from_ring(&mut self) -> Option<(std::ops::Range<u64>, u64)> {
        let at = self.ring.iter().position(|slot| slot.is_at_rest() && !slot.is_gap())?;
        let slot = &mut self.ring[at];
        let numbers = slot.from..slot.end;
        let dropped = slot.tally.drop_all(DropReason::MemoryFull);
        (slot.content, slot.first, slot.evicts) = (Content::Gap, slot.from, false);
        let merged = at > 0 && self.ring[at - 1].is_gap() && self.ring[at - 1].is_at_rest();
        let span = |slot: &Slot| slot.end - slot.from;
        if merged
            && span(&self.ring[at - 1]) + span(&self.ring[at]) < u64::from(u32::MAX)
            && let Some(slot) = self.ring.remove(at)
        {
            let gap = &mut self.ring[at - 1];
            // One that is settled to its end may be followed by records that are settled too.
            gap.from = if gap.from >= gap.end { slot.from } else { gap.from };
            gap.tally.merge(&slot.tally);
            gap.end = slot.end;
        }
        if self.ahead_end > numbers.start {
            self.forget_ahead();
        }
        Some((numbers, dropped))
    }

    /// The oldest blocks that are not written, up to these bounds; and whether they may push out others.
    pub(crate) fn take_pieces(&mut self, bytes_max: usize, records_max: u64) -> (Vec<Piece>, bool) {
        let (mut pieces, mut bytes, mut records) = (Vec::new(), 0, 0);
        let evicts = self.may_evict();
        // The consumer knows of these already.
        self.ring.retain(|slot| !(slot.is_gap() && slot.is_at_rest() && slot.from >= slot.end));
        for slot in self.ring.iter_mut().skip_while(|slot| slot.is_written) {
            let more = slot.end - slot.first;
            if !pieces.is_empty() && (bytes + slot.bytes() > bytes_max || records + more > records_max) {
                break;
            }
            slot.is_in_flight = true;
            bytes += slot.bytes();
            records += more;
            pieces.push(slot.piece(self.salt));
        }
        (pieces, evicts)
    }

    /// Everything before `end` that the worker took is in the active segment.
    pub(crate) fn written(&mut self, end: u64) {
        for slot in self.ring.iter_mut().take_while(|slot| slot.end <= end) {
            slot.is_written |= slot.is_in_flight;
        }
    }

    /// The worker has let go of what it took.
    pub(crate) fn rest(&mut self) {
        self.ring.iter_mut().for_each(|slot| slot.is_in_flight = false);
    }

    /// Memory without a disk behind it gives up what is acknowledged.
    pub(crate) fn forget_settled(&mut self) {
        while self.ring.front().is_some_and(|slot| slot.from >= slot.end && slot.is_at_rest()) {
            self.ring.pop_front();
        }
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.ring.back().is_some_and(|slot| !slot.is_written)
    }

    /// Whether something waits that may push out others.
    pub(crate) fn may_evict(&self) -> bool {
        self.ring.iter().any(|slot| slot.is_at_rest() && slot.evicts)
    }

    /// The oldest number in memory that is not settled.
    pub(crate) fn first_in_ring(&self) -> u64 {
        self.ring.front().map_or(self.next_seq, |slot| slot.from)
    }

    /// Records written and not synced.
    pub(crate) fn unsynced(&self) -> u64 {
        self.ring.iter().filter(|slot| slot.is_written).map(|slot| slot.end - slot.first).sum()
    }
}
