//! One class: its numbers in a row, from the oldest that is not settled to the newest in memory.
//!
//! Queue is positions. The cursor holds what is settled. Every number after that is in one [`SeqRange`], which is
//! in a file, in memory or lost, and every figure is computed from these. Nothing here does I/O or waits.

mod memory;
mod read;

use std::collections::VecDeque;

use memory::Block;
pub(crate) use memory::Chunk;
use read::OutstandingBatch;

use crate::counts::Counts;
use crate::drop_reason::DropReason;
use crate::entry::Entry;
use crate::format::Cursor;
use crate::options::blocks;
use crate::scan::{Extent, SegmentFile};

#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// What is settled, which the consumer knows of. [`Lane::books`] fills in the rest.
    pub(crate) cursor: Cursor,
    /// More is settled than the books on disk say.
    pub(crate) is_dirty: bool,
    pub(crate) salt: u32,
    /// In files or lost, the oldest first, without a hole between them.
    pub(crate) segments: VecDeque<SeqRange>,
    /// In memory, or dropped from there. What is settled may be missing from it.
    ring: VecDeque<SeqRange>,
    /// Numbers before this one are in segments for good.
    pub(crate) on_disk: u64,
    /// Numbers before this one are in the active segment, but perhaps not synced.
    written: u64,
    /// Numbers before this one are with the worker, who may be writing them.
    taken: u64,
    pub(crate) next_seq: u64,
    /// Numbers before this one are not to wait for a larger group.
    flush: u64,
    /// Files that nothing is needed of any more, and what they occupy. They go once the books are synced.
    pub(crate) garbage: VecDeque<(String, u64)>,
    /// How long the last block in memory was.
    block_hint: usize,
    /// The worker found no room on disk that it may take.
    pub(crate) is_full: bool,
    /// The next number for the consumer.
    read_seq: u64,
    /// Entries that come next, in a row from `read_seq`.
    ahead: VecDeque<Entry>,
    /// With so many of them left it is time to read on.
    ahead_low: usize,
    pub(crate) wants_read: bool,
    out: VecDeque<OutstandingBatch>,
}

/// Some numbers in a row, and where they are.
#[derive(Debug)]
pub(crate) struct SeqRange {
    /// The first number that is not settled.
    pub(crate) from: u64,
    /// One above the last number.
    pub(crate) end: u64,
    /// The numbers from `from` to `end`; they sum up to that range exactly.
    pub(crate) counts: Counts,
    pub(crate) location: Location,
}

#[derive(Debug)]
pub(crate) enum Location {
    Lost,
    File(Segment),
    Memory(Block),
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: SegmentFile,
    pub(crate) disk_bytes: u64,
    /// It is the last one, and written to.
    pub(crate) is_active: bool,
}

impl Location {
    /// The file to remove, and what it occupies.
    fn into_file(self) -> Option<(String, u64)> {
        if let Self::File(segment) = self { Some((segment.file.name, segment.disk_bytes)) } else { None }
    }
}

impl SeqRange {
    /// Numbers that nobody has any more.
    pub(crate) fn lost(from: u64, end: u64, reason: DropReason) -> Self {
        let counts = Counts::of((None, Some(reason)), end - from);
        Self { from, end, counts, location: Location::Lost }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.from >= self.end
    }

    fn is_lost(&self) -> bool {
        matches!(self.location, Location::Lost)
    }

    /// Takes over the numbers right after its own. There may be settled ones in between.
    fn extend(&mut self, next: &Self) {
        self.from = if self.is_settled() { next.from } else { self.from };
        self.counts.merge(&next.counts);
        self.end = next.end;
    }

    pub(crate) fn is_active(&self) -> bool {
        self.segment().is_some_and(|segment| segment.is_active)
    }

    pub(crate) fn segment(&self) -> Option<&Segment> {
        if let Location::File(segment) = &self.location { Some(segment) } else { None }
    }

    pub(crate) fn segment_mut(&mut self) -> Option<&mut Segment> {
        if let Location::File(segment) = &mut self.location { Some(segment) } else { None }
    }

    /// What to read to get all from `seq` on.
    pub(crate) fn extent(&self, seq: u64) -> Option<Extent> {
        let file = self.segment()?.file.clone();
        Some(Extent { file, from_seq: seq, known_end: self.end, limit: self.end })
    }
}

impl Lane {
    pub(crate) fn new(cursor: Cursor, salt: u32, segments: VecDeque<SeqRange>) -> Self {
        let next_seq = segments.back().map_or(0, |last| last.end).max(cursor.next_seq);
        let (on_disk, written, taken) = (next_seq, next_seq, next_seq);
        let read_seq = cursor.reported_through + 1;
        Self { cursor, salt, segments, on_disk, written, taken, next_seq, read_seq, ..Self::default() }
    }

    /// Without a directory: numbers count from 1 until there is one.
    pub(crate) fn in_memory() -> Self {
        Self::new(Cursor { next_seq: 1, ..Cursor::default() }, 0, VecDeque::new())
    }

    /// What is written to the cursor. What is lost before the first file is released there: otherwise the next
    /// opening could not say why it is not there.
    pub(crate) fn checkpoint(&self, is_finishing: bool) -> Cursor {
        let mut checkpoint = self.cursor.clone();
        (checkpoint.released_through, checkpoint.unreported) =
            (checkpoint.reported_through, Counts::default());
        for lost in self.segments.iter().take_while(|range| range.is_lost()) {
            checkpoint.released_through = lost.end - 1;
            checkpoint.unreported.merge(&lost.counts);
            checkpoint.dropped.merge(&lost.counts);
        }
        // Numbers in memory may be lost with it and then be given anew, under another epoch: reported as missing
        // they would include some that were acknowledged. What cannot be written at the end is told as missing.
        let next_seq = if is_finishing { self.next_seq } else { self.on_disk };
        checkpoint.next_seq = next_seq.max(checkpoint.released_through + 1);
        checkpoint.clean = is_finishing && self.ring.is_empty();
        checkpoint
    }

    /// What every step must leave true.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut next = self.cursor.reported_through + 1;
        for range in self.segments.iter().chain(&self.ring) {
            let numbers = range.end.saturating_sub(range.from);
            assert_eq!(range.counts.total(), numbers, "{range:?}");
            if numbers > 0 {
                assert_eq!(range.from, next, "a hole before {range:?}");
                next = range.end;
            }
        }
        assert_eq!(next, self.next_seq);
        assert!(self.on_disk <= self.written && self.written <= self.taken && self.taken <= self.next_seq);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.next_seq - 1 - self.cursor.unaccounted + self.cursor.unnumbered
    }

    pub(crate) fn pending(&self) -> u64 {
        self.segments.iter().chain(&self.ring).map(|range| range.counts.live()).sum()
    }

    pub(crate) fn in_memory_records(&self) -> u64 {
        self.ring.iter().map(|range| range.counts.live()).sum()
    }

    pub(crate) fn dropped(&self) -> Counts {
        let mut dropped = self.cursor.dropped.clone();
        let ranges = self.segments.iter().chain(&self.ring);
        ranges.for_each(|range| dropped.merge(&range.counts.drops()));
        dropped
    }

    /// Computed from the files each time: a running sum would drift some day.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let segments = self.segments.iter().filter_map(SeqRange::segment).map(|segment| segment.disk_bytes);
        segments.chain(self.garbage.iter().map(|(_, disk_bytes)| *disk_bytes)).sum()
    }

    pub(crate) fn range_at(&self, seq: u64) -> Option<&SeqRange> {
        self.segments.iter().chain(&self.ring).find(|range| seq < range.end)
    }

    pub(crate) fn range_at_mut(&mut self, seq: u64) -> Option<&mut SeqRange> {
        self.segments.iter_mut().chain(&mut self.ring).find(|range| seq < range.end)
    }

    /// The oldest file that holds something.
    pub(crate) fn oldest(&self) -> Option<&SeqRange> {
        self.segments.iter().find(|range| range.segment().is_some() && !range.is_settled())
    }

    /// DropCounts what the oldest file holds; how many records that were. Nothing is written to it any more.
    pub(crate) fn evict(&mut self, reason: DropReason) -> u64 {
        let oldest = self.segments.iter_mut().find(|range| !range.is_lost() && !range.is_settled());
        let Some(oldest) = oldest else { return 0 };
        let (from, evicted) = (oldest.from, oldest.counts.drop_all(reason));
        self.garbage.extend(std::mem::replace(&mut oldest.location, Location::Lost).into_file());
        self.forget_ahead(from);
        self.is_dirty = true;
        self.sweep();
        evicted
    }

    /// Lets go of files that are settled, and keeps what is lost in a row in one range, however long nobody
    /// consumes.
    pub(crate) fn sweep(&mut self) {
        let is_done = |range: &SeqRange| range.is_settled() && !range.is_active();
        while let Some(at) = self.segments.iter().position(is_done) {
            self.garbage.extend(self.segments.remove(at).and_then(|done| done.location.into_file()));
        }
        for at in (1..self.segments.len()).rev() {
            if self.segments.range(at - 1..=at).all(SeqRange::is_lost)
                && let Some(second) = self.segments.remove(at)
            {
                self.segments[at - 1].extend(&second);
            }
        }
    }

    /// A new segment, which is written to from now on.
    pub(crate) fn begin(&mut self, file: SegmentFile, disk_bytes: u64) {
        let from = file.identity.first_seq;
        let segment = Segment { file, disk_bytes, is_active: true };
        let location = Location::File(segment);
        self.segments.push_back(SeqRange { from, end: from, counts: Counts::default(), location });
    }

    /// What is written is as safe as it is going to be, and leaves memory. The active segment holds frames up to
    /// `len`.
    pub(crate) fn free_written(&mut self, len: u64) {
        let Some(active) = self.segments.back_mut() else { return };
        while let Some(range) = self.ring.pop_front_if(|front| front.end <= self.written) {
            active.extend(&range);
        }
        self.on_disk = self.written;
        if let Some(segment) = active.segment_mut() {
            segment.file.len = len;
            segment.disk_bytes = segment.disk_bytes.max(blocks(len));
        }
    }

    /// The active segment takes no more; what it occupies from now on, if that has changed.
    pub(crate) fn close_active(&mut self, disk_bytes: Option<u64>) {
        if let Some(segment) = self.segments.back_mut().and_then(SeqRange::segment_mut) {
            segment.is_active = false;
            segment.disk_bytes = disk_bytes.unwrap_or(segment.disk_bytes);
        }
        self.sweep();
    }
}
