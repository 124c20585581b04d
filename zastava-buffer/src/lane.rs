//! The queue of one class: its sequence numbers, from the oldest that is not settled to the newest in memory.
//!
//! The state is positions. The cursor holds what is settled. Every later number is in exactly one [`SeqRange`], which is
//! in a file, in memory, or lost. All counts are computed from these. Nothing here does I/O or waits.
//!
//! docs/design/buffer.md#what-does-the-queue-know-of-a-number

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
    /// What the consumer has settled. [`Lane::checkpoint`] fills in the rest.
    pub(crate) cursor: Cursor,
    /// True if the cursor on disk is out of date.
    pub(crate) is_dirty: bool,
    pub(crate) salt: u32,
    /// Ranges in files and lost ranges, oldest first, without holes.
    pub(crate) segments: VecDeque<SeqRange>,
    /// Ranges in memory and ranges dropped from memory. Settled ranges may be missing.
    ring: VecDeque<SeqRange>,
    /// Numbers below this are on disk and as durable as they get.
    pub(crate) on_disk: u64,
    /// Numbers below this are written, but perhaps not synced.
    written: u64,
    /// Numbers below this were taken by the worker, which may be writing them.
    taken: u64,
    pub(crate) next_seq: u64,
    /// A flush waits for numbers below this, so their sync does not wait for a larger group.
    flush: u64,
    /// Files to remove once the cursor is synced, and their disk space.
    pub(crate) garbage: VecDeque<(String, u64)>,
    /// Length of the last block, which the next one is sized by.
    block_hint: usize,
    /// True if the worker found no room on disk and may not evict.
    pub(crate) is_full: bool,
    /// The next number to deliver.
    read_seq: u64,
    /// Entries read ahead, from `read_seq` on without holes.
    ahead: VecDeque<Entry>,
    /// The worker reads on when this many entries are left.
    ahead_low: usize,
    pub(crate) wants_read: bool,
    out: VecDeque<OutstandingBatch>,
}

/// A range of sequence numbers, and where their records are.
#[derive(Debug)]
pub(crate) struct SeqRange {
    /// The first number that is not settled.
    pub(crate) from: u64,
    /// One above the last number of the range.
    pub(crate) end: u64,
    /// Counts of the numbers from `from` to `end`. Their sum is the length of that range.
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
    /// True for the segment that is written to, which is the last one.
    pub(crate) is_active: bool,
}

impl Location {
    /// Returns the file to remove and its disk space.
    fn into_file(self) -> Option<(String, u64)> {
        if let Self::File(segment) = self { Some((segment.file.name, segment.disk_bytes)) } else { None }
    }
}

impl SeqRange {
    /// A lost range.
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

    /// Appends the next range. Settled numbers may lie in between.
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

    /// Returns what to read for the records from `seq` on.
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

    /// A lane without a directory. Its numbers start at 1 and are provisional.
    pub(crate) fn in_memory() -> Self {
        Self::new(Cursor { next_seq: 1, ..Cursor::default() }, 0, VecDeque::new())
    }

    /// Returns the cursor to write. It releases lost ranges before the first file and keeps their counts; otherwise the
    /// next opening could only call them missing.
    pub(crate) fn checkpoint(&self, is_finishing: bool) -> Cursor {
        let mut checkpoint = self.cursor.clone();
        (checkpoint.released_through, checkpoint.unreported) =
            (checkpoint.reported_through, Counts::default());
        for lost in self.segments.iter().take_while(|range| range.is_lost()) {
            checkpoint.released_through = lost.end - 1;
            checkpoint.unreported.merge(&lost.counts);
            checkpoint.dropped.merge(&lost.counts);
        }
        // A crash loses numbers in memory, and the next epoch assigns them again. If the cursor covered them, the next
        // opening would report them as missing, even those that were acknowledged. An orderly end covers them: what
        // could not be written is then missing.
        let next_seq = if is_finishing { self.next_seq } else { self.on_disk };
        checkpoint.next_seq = next_seq.max(checkpoint.released_through + 1);
        checkpoint.clean = is_finishing && self.ring.is_empty();
        checkpoint
    }

    /// Asserts the invariants that every step preserves.
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

    /// Computed from the files each time, since a running sum could drift.
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

    /// Returns the oldest file with numbers that are not settled.
    pub(crate) fn oldest(&self) -> Option<&SeqRange> {
        self.segments.iter().find(|range| range.segment().is_some() && !range.is_settled())
    }

    /// Drops the records of the oldest file. Returns how many there were. The file must not be active.
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

    /// Marks settled files for removal, and merges adjacent lost ranges, so that their number stays small even if nobody
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

    /// Adds a new active segment.
    pub(crate) fn begin(&mut self, file: SegmentFile, disk_bytes: u64) {
        let from = file.identity.first_seq;
        let segment = Segment { file, disk_bytes, is_active: true };
        let location = Location::File(segment);
        self.segments.push_back(SeqRange { from, end: from, counts: Counts::default(), location });
    }

    /// Moves written records from memory to the active segment, which holds frames up to `len`.
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

    /// Ends the active segment. `disk_bytes` is its disk space, if that has changed.
    pub(crate) fn close_active(&mut self, disk_bytes: Option<u64>) {
        if let Some(segment) = self.segments.back_mut().and_then(SeqRange::segment_mut) {
            segment.is_active = false;
            segment.disk_bytes = disk_bytes.unwrap_or(segment.disk_bytes);
        }
        self.sweep();
    }
}
