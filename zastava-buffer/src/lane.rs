//! One class: its numbers in a row, from the oldest segment to the newest record in memory.
//!
//! State is positions. The cursor holds what is settled; segments and then memory hold every number after
//! that, once; and every figure is computed from these. Nothing here does I/O or waits.

mod read;
mod ring;

use std::collections::VecDeque;

pub(crate) use ring::{Piece, Slot};

use crate::config::blocks;
use crate::entry::{Durability, Entry, Kind};
use crate::format::{Cursor, SEGMENT_HEADER_BYTES, SegmentName};
use crate::scan::Extent;
use crate::tally::{DropReason, Drops, Fate, Tally};

#[derive(Debug)]
pub(crate) struct Lane {
    /// The books; `next_seq` in them is filled in when they are written.
    pub(crate) cursor: Cursor,
    /// The books differ from those on disk.
    pub(crate) is_dirty: bool,
    pub(crate) salt: u32,
    /// Oldest first, without a hole between them or before the ring.
    pub(crate) segments: VecDeque<Segment>,
    /// What is not in a segment for good.
    pub(crate) ring: VecDeque<Slot>,
    pub(crate) next_seq: u64,
    /// How long the last block in memory was.
    block_hint: usize,
    /// The worker found no room on disk that it may take.
    pub(crate) is_full: bool,
    /// The next number for the consumer.
    read_seq: u64,
    /// Entries read ahead, from `read_seq` up to `ahead_end`.
    ahead: VecDeque<Entry>,
    ahead_end: u64,
    ahead_bytes: usize,
    /// Changes when what is being read is no longer wanted.
    reads: u64,
    wants_read: bool,
    outstanding: VecDeque<Outstanding>,
    /// Numbers up to the first come with the attempt that is the second.
    retried: (u64, u32),
}

/// A stretch of the numbers that is in a file, or is known to be missing.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The file, unless there is none; and what it says of itself, which can differ if somebody renamed it.
    pub(crate) file: Option<(String, SegmentName)>,
    /// The first number that is not settled.
    pub(crate) from: u64,
    /// One above the last number.
    pub(crate) end: u64,
    /// Where frames end.
    pub(crate) len: u64,
    pub(crate) disk_bytes: u64,
    /// The numbers from `from` to `end`; they sum up to that range exactly.
    pub(crate) tally: Tally,
    pub(crate) is_active: bool,
    /// Some numbers and where their frames begin.
    pub(crate) marks: Vec<(u64, u64)>,
    /// Once damage was met: what each unknown stretch held.
    pub(crate) damage: Option<Vec<(u64, Tally)>>,
}

/// A batch that is out.
#[derive(Debug)]
struct Outstanding {
    id: u64,
    attempt: u32,
    acked_through: u64,
    entries: VecDeque<Delivered>,
}

#[derive(Debug)]
struct Delivered {
    first: u64,
    last: u64,
    what: Delivery,
}

#[derive(Debug)]
enum Delivery {
    Record(Kind),
    Gap(Drops),
}

impl Segment {
    /// A range without a file.
    pub(crate) fn absent(from: u64, end: u64, reason: DropReason) -> Self {
        let tally = Tally::of(Fate::Lost(None, reason), end - from);
        Self {
            file: None,
            from,
            end,
            len: 0,
            disk_bytes: 0,
            tally,
            is_active: false,
            marks: Vec::new(),
            damage: None,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.from >= self.end
    }

    /// What to read to get all from `seq` on.
    pub(crate) fn extent(&self, seq: u64) -> Option<Extent> {
        let (name, identity) = self.file.clone()?;
        let mark = self.marks.iter().rev().find(|(first, _)| *first <= seq);
        let (at, offset) = mark.copied().unwrap_or((identity.first_seq, SEGMENT_HEADER_BYTES as u64));
        Some(Extent {
            name,
            salt: identity.salt,
            offset,
            seq: at,
            len: self.len,
            from_seq: seq,
            known_end: self.end,
            limit: self.end,
        })
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.file.as_ref().map_or(0, |(_, identity)| identity.epoch)
    }
}

impl Lane {
    pub(crate) fn new(cursor: Cursor, salt: u32, segments: VecDeque<Segment>) -> Self {
        let next_seq = segments.back().map_or(cursor.next_seq, |segment| segment.end.max(cursor.next_seq));
        let read_seq = cursor.released_through + 1;
        Self {
            cursor,
            is_dirty: false,
            salt,
            segments,
            ring: VecDeque::new(),
            next_seq,
            block_hint: 0,
            is_full: false,
            read_seq,
            ahead: VecDeque::new(),
            ahead_end: read_seq,
            ahead_bytes: 0,
            reads: 0,
            wants_read: false,
            outstanding: VecDeque::new(),
            retried: (0, 1),
        }
    }

    /// Without a directory: numbers count from 1 until there is one.
    pub(crate) fn in_memory() -> Self {
        Self::new(Cursor { next_seq: 1, ..Cursor::default() }, 0, VecDeque::new())
    }

    /// The next number as far as the disk can know. Numbers in memory may be lost with it and then be given anew,
    /// under another epoch: reported as missing they would include some that were acknowledged.
    pub(crate) fn next_on_disk(&self) -> u64 {
        self.ring.front().map_or(self.next_seq, |slot| slot.first).max(self.cursor.released_through + 1)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.next_seq - 1 - self.cursor.unaccounted + self.cursor.unnumbered
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let of_segments = self.segments.iter().map(|segment| &segment.tally);
        of_segments.chain(self.ring.iter().map(|slot| &slot.tally))
    }

    pub(crate) fn pending(&self) -> u64 {
        self.tallies().map(Tally::live).sum()
    }

    pub(crate) fn in_memory_records(&self) -> u64 {
        self.ring.iter().map(|slot| slot.tally.live()).sum()
    }

    pub(crate) fn dropped(&self) -> Drops {
        let mut dropped = self.cursor.dropped.clone();
        self.tallies().for_each(|tally| dropped.merge(&tally.drops()));
        dropped
    }

    pub(crate) fn lost(&self) -> u64 {
        self.tallies().map(|tally| tally.total() - tally.live()).sum()
    }

    /// Computed from the files each time: a running sum would drift some day.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }

    /// How safe the record is, or `None` if it was dropped from memory.
    pub(crate) fn safety(&self, seq: u64, when_handed_over: Durability) -> Option<Durability> {
        let Some(slot) = self.ring.iter().find(|slot| seq < slot.end) else { return Some(when_handed_over) };
        if seq < slot.first {
            return Some(when_handed_over);
        }
        let level = if slot.is_written { Durability::Process } else { Durability::Memory };
        (!slot.is_gap()).then_some(level)
    }

    /// Whether the oldest segment is settled and can be removed.
    pub(crate) fn is_front_done(&self) -> bool {
        self.segments.front().is_some_and(|front| front.is_settled() && !front.is_active)
    }

    /// Whether the oldest segment can go. The one being written to has to be sealed first.
    pub(crate) fn can_evict(&self) -> bool {
        self.segments.iter().any(|segment| segment.file.is_some() && !segment.is_settled())
    }

    /// Drops the oldest segment with all it holds; how many records that were. Its file goes once the books
    /// are synced.
    pub(crate) fn evict(&mut self, reason: DropReason) -> u64 {
        let mut evicted = 0;
        while let Some(segment) = self.segments.iter_mut().find(|segment| !segment.is_settled()) {
            if segment.is_active {
                break;
            }
            evicted += segment.tally.drop_all(reason);
            let drops = std::mem::take(&mut segment.tally).drops();
            self.cursor.dropped.merge(&drops);
            self.cursor.untold.merge(&drops);
            self.cursor.released_through = segment.end - 1;
            segment.from = segment.end;
            self.is_dirty = true;
            if segment.file.is_some() {
                break;
            }
        }
        self.skip_released();
        evicted
    }

    fn skip_released(&mut self) {
        let next = self.cursor.released_through + 1;
        if self.read_seq < next {
            self.read_seq = next;
            self.forget_ahead();
        }
    }

    /// The batch is acknowledged through this number. How many records that settled.
    pub(crate) fn ack(&mut self, id: u64, through: u64) -> u64 {
        let before = self.cursor.acked;
        let Some(batch) = self.outstanding.iter_mut().find(|batch| batch.id == id) else { return 0 };
        batch.acked_through = batch.acked_through.max(through);
        while let Some(batch) = self.outstanding.front_mut() {
            match batch.entries.front() {
                None => drop(self.outstanding.pop_front()),
                Some(entry) if entry.last <= batch.acked_through => {
                    if let Some(entry) = batch.entries.pop_front() {
                        self.settle(&entry);
                    }
                }
                Some(_) => break,
            }
        }
        self.cursor.acked - before
    }

    /// The batch comes again, from the first entry that is not acknowledged; and so do later ones.
    pub(crate) fn give_back(&mut self, id: u64) {
        let Some(at) = self.outstanding.iter().position(|batch| batch.id == id) else { return };
        let batch = &self.outstanding[at];
        if let (Some(first), Some(last)) = (batch.entries.front(), batch.entries.back()) {
            self.retried = (last.last, batch.attempt + 1);
            self.read_seq = first.first;
            self.forget_ahead();
        }
        self.outstanding.truncate(at);
        self.skip_released();
    }

    fn settle(&mut self, entry: &Delivered) {
        self.is_dirty = true;
        if entry.last <= self.cursor.released_through {
            self.settle_told(entry);
            return;
        }
        let segment = self.segments.iter_mut().find(|segment| entry.last < segment.end);
        let (from, tally) = match segment {
            Some(segment) => (&mut segment.from, &mut segment.tally),
            None => match self.ring.iter_mut().find(|slot| entry.last < slot.end) {
                Some(slot) => (&mut slot.from, &mut slot.tally),
                None => return,
            },
        };
        let mut settled = Tally::default();
        match &entry.what {
            Delivery::Record(kind) if tally.take_one(Fate::Live(*kind)) => self.cursor.acked += 1,
            Delivery::Record(kind) => settled = tally.take(Fate::Live(*kind), 1),
            Delivery::Gap(drops) => {
                for (kind, reason, count) in drops.iter() {
                    settled.merge(&tally.take(Fate::Lost(kind, reason), count));
                }
            }
        }
        self.cursor.acked += settled.live();
        self.cursor.dropped.merge(&settled.drops());
        *from = entry.last + 1;
        (self.cursor.released_through, self.cursor.told_through) = (entry.last, entry.last);
    }

    /// The entry was dropped on its way and is counted as such; now the consumer knows its fate.
    fn settle_told(&mut self, entry: &Delivered) {
        let told = self.cursor.told_through;
        if entry.last <= told {
            return;
        }
        match &entry.what {
            Delivery::Record(kind) => self.cursor.untold.take(Some(*kind), DropReason::Evicted, 1),
            Delivery::Gap(drops) => {
                drops.iter().for_each(|(kind, reason, count)| self.cursor.untold.take(kind, reason, count));
            }
        }
        self.cursor.told_through = entry.last;
    }

    /// Records that are written, and synced if that is asked for, leave memory. The active segment now holds
    /// frames up to `len` and numbers up to `end`.
    pub(crate) fn hand_over(&mut self, len: u64, end: u64) {
        let Some(segment) = self.segments.back_mut() else { return };
        let mut offset = segment.len;
        while let Some(slot) = self.ring.front().filter(|slot| slot.is_written && slot.end <= end) {
            if segment.is_settled() {
                segment.from = slot.from;
            }
            if segment.marks.last().is_none_or(|(_, at)| offset >= at + crate::scan::WINDOW_BYTES as u64) {
                segment.marks.push((slot.first, offset));
            }
            offset += slot.written_bytes;
            segment.tally.merge(&slot.tally);
            segment.end = slot.end;
            self.ring.pop_front();
        }
        segment.len = len;
        segment.disk_bytes = segment.disk_bytes.max(blocks(len));
    }

    /// The active segment takes no more. `disk_bytes` is what it occupies from now on.
    pub(crate) fn close_active(&mut self, disk_bytes: Option<u64>) {
        if let Some(segment) = self.segments.back_mut().filter(|segment| segment.is_active) {
            segment.is_active = false;
            segment.disk_bytes = disk_bytes.unwrap_or(segment.disk_bytes);
        }
        // What was written there and is still in memory has to be written again.
        self.ring.iter_mut().for_each(|slot| slot.is_written = false);
    }

    /// Moves what was accepted without a directory into one that was found now.
    pub(crate) fn adopt(&mut self, memory: Self) {
        let first = self.next_seq;
        for slot in memory.ring {
            if let Some(slot) = slot.renumber(self.next_seq, self.salt) {
                self.next_seq = slot.end;
                self.ring.push_back(slot);
            }
        }
        self.cursor.acked += memory.cursor.acked;
        self.cursor.dropped.merge(&memory.cursor.dropped);
        self.cursor.unnumbered += memory.cursor.released_through + memory.cursor.unnumbered;
        debug_assert!(self.next_seq >= first);
        self.is_dirty = true;
    }
}
