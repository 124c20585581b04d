//! Reads one segment, whatever its bytes are. Every number of its range is returned once, in a record or in a gap. Damage
//! is skipped by a search for the next intact header.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::counts::Counts;
use crate::drop_reason::DropReason;
use crate::entry::{Entry, Record};
use crate::format::{
    FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, SEGMENT_HEADER_BYTES, SegmentName, gap_counts,
};
use crate::store::Store;

/// Bytes read at a time; more only for a longer record.
pub(crate) const WINDOW_BYTES: usize = 64 << 10;

const PAGE_BYTES: usize = 4096;
/// After this many failed reads a page counts as damaged, if the start of the file can be read. The last reads are a
/// second apart.
const FAILURES_OF_PAGE: u32 = 3;
/// After this many failed reads a page counts as damaged, even if nothing of the file can be read.
const FAILURES_OF_STORE: u32 = 300;

/// A segment file.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    /// From the header, or from the file name if the header is damaged. The file may have been renamed.
    pub(crate) identity: SegmentName,
    /// The end of the frames that count.
    pub(crate) len: u64,
}

/// The part of a segment to read.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) file: SegmentFile,
    /// Numbers below this are settled and skipped.
    pub(crate) from_seq: u64,
    /// Numbers below this were certainly assigned in this segment. Those that are not found are lost.
    pub(crate) known_end: u64,
    /// Frames from this number on are void: a later segment has these numbers.
    pub(crate) limit: u64,
}

/// Reads the frames of a segment one after another.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Updated before reading on, since more may be written and settled by then.
    pub(crate) extent: Extent,
    /// Offset of the next frame.
    offset: u64,
    /// Number of the next frame.
    pub(crate) seq: u64,
    /// The segment ends in part of a frame; known once `next` has returned `None`.
    pub(crate) torn_tail: bool,
    /// A window of the file in memory, and its offset.
    held: Bytes,
    held_from: u64,
    /// How often reading has failed at this offset.
    failures: u32,
}

impl Frames {
    /// `failures` is the number of failed reads so far. After enough of them, pages that cannot be read count as damage
    /// instead of being an error.
    pub(crate) fn new(extent: Extent, failures: u32) -> Self {
        let (offset, seq) = (SEGMENT_HEADER_BYTES as u64, extent.file.identity.first_seq);
        Self { extent, offset, seq, torn_tail: false, held: Bytes::new(), held_from: 0, failures }
    }

    /// Returns the next entry that is not settled, or `None` at the end of the segment.
    pub(crate) fn next(&mut self, store: &mut dyn Store) -> io::Result<Option<Entry>> {
        while let Some(found) = self.step(store)? {
            let from = self.extent.from_seq;
            match found {
                Entry::Gap(mut gap) if (gap.first_seq + 1..=gap.last_seq).contains(&from) => {
                    let rest = gap.counts.0.take((None, None), gap.last_seq + 1 - from);
                    return Ok(Some(Entry::gap(from, rest)));
                }
                found if found.last_seq() >= from => return Ok(Some(found)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads one frame, or skips one stretch of damage.
    fn step(&mut self, store: &mut dyn Store) -> io::Result<Option<Entry>> {
        let SegmentName { salt, epoch, .. } = self.extent.file.identity;
        let (start, seq) = (self.offset + FRAME_HEADER_BYTES as u64, self.seq);
        if seq >= self.extent.limit {
            return Ok(None);
        }
        let at = self.load(store, self.offset, FRAME_HEADER_BYTES)?;
        let Some(bytes) = self.held[at].first_chunk() else { return Ok(self.end(false)) };
        let header = match FrameHeader::decode(bytes, salt) {
            Some(header) if header.seq == seq && header.end_seq() <= self.extent.limit => header,
            _ => return self.resynchronise(store),
        };
        let at = self.load(store, start, header.payload_bytes as usize)?;
        if at.len() < header.payload_bytes as usize {
            return Ok(self.end(false));
        }
        let payload = self.held.slice(at);
        self.offset = start + payload.len() as u64;
        self.seq = header.end_seq();
        let (intact, kind) = (header.matches(&payload), header.kind());
        if intact && header.is_record() {
            return Ok(Some(Entry::Record(Record { seq, epoch, kind, bytes: payload, attempt: 1 })));
        }
        let stored = if intact && header.is_gap() { gap_counts(&header, &payload) } else { None };
        let key = match (header.is_record(), header.is_gap()) {
            (true, _) => (Some(kind), Some(DropReason::Corrupt)),
            (_, true) => (None, Some(DropReason::Corrupt)),
            _ => (Some(kind), Some(DropReason::UnreadableVersion)),
        };
        let lost = stored.unwrap_or_else(|| Counts::of(key, u64::from(header.span)));
        Ok(Some(Entry::gap(seq, lost)))
    }

    /// Searches the next intact header with a possible number.
    fn resynchronise(&mut self, store: &mut dyn Store) -> io::Result<Option<Entry>> {
        let mut offset = self.offset + 1;
        while let Some(candidate) = self.find_magic(store, offset)? {
            offset = candidate + 1;
            let at = self.load(store, candidate, FRAME_HEADER_BYTES)?;
            let Some(bytes) = self.held[at].first_chunk() else { break };
            match FrameHeader::decode(bytes, self.extent.file.identity.salt) {
                Some(header) if header.seq >= self.seq && header.end_seq() <= self.extent.limit => {
                    self.offset = candidate;
                    // The skipped bytes stand for no record if the numbers continue.
                    let lost = self.lost_up_to(header.seq, DropReason::Corrupt);
                    return if lost.is_some() { Ok(lost) } else { self.step(store) };
                }
                _ => {}
            }
        }
        Ok(self.end(true))
    }

    /// Ends the segment: its remaining bytes hold no frame. Numbers that were assigned here are lost. If none is known,
    /// damaged bytes stand for at least one record.
    fn end(&mut self, damaged: bool) -> Option<Entry> {
        let has_rest = self.offset < self.extent.file.len;
        self.offset = self.extent.file.len.max(self.offset);
        let known = self.extent.known_end.min(self.extent.limit);
        let (least, reason) = match damaged {
            true => (self.seq + 1, DropReason::Corrupt),
            false => (self.seq, DropReason::Missing),
        };
        let lost = self.lost_up_to(known.max(least), reason);
        self.torn_tail |= lost.is_none() && has_rest;
        lost
    }

    fn lost_up_to(&mut self, end: u64, reason: DropReason) -> Option<Entry> {
        let first = std::mem::replace(&mut self.seq, end);
        (end > first).then(|| Entry::gap(first, Counts::of((None, Some(reason)), end - first)))
    }

    /// Loads `wanted` bytes from `offset`, fewer at the end of the file. Returns where `held` has them.
    fn load(&mut self, store: &mut dyn Store, offset: u64, wanted: usize) -> io::Result<Range<usize>> {
        let left = self.extent.file.len.saturating_sub(offset);
        let wanted = left.min(wanted as u64);
        if wanted == 0 {
            return Ok(0..0);
        }
        let held_end = self.held_from + self.held.len() as u64;
        if offset < self.held_from || offset + wanted > held_end {
            self.fill(store, offset, left.min(wanted.max(WINDOW_BYTES as u64)) as usize)?;
        }
        let at = (offset - self.held_from) as usize;
        Ok(at..self.held.len().min(at + wanted as usize))
    }

    fn fill(&mut self, store: &mut dyn Store, offset: u64, wanted: usize) -> io::Result<()> {
        // A failed read must leave `held` empty, so that the next call reads again.
        self.held_from = offset;
        // Reuses the memory if no record refers to it, unless a long record made it large.
        let held = std::mem::take(&mut self.held).try_into_mut().ok();
        let mut buffer = held.filter(|held| held.capacity() <= WINDOW_BYTES).unwrap_or_default();
        buffer.resize(wanted, 0);
        let name = &self.extent.file.name;
        let read = match store.read(name, offset, &mut buffer) {
            // The records of a file that is gone are lost and counted, as at the end of a file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) if self.failures >= FAILURES_OF_PAGE => {
                // A bad sector costs a page. If nothing of the file can be read, the problem is another one and may
                // pass, so reading is retried much longer.
                if self.failures < FAILURES_OF_STORE && store.read(name, 0, &mut [0]).is_err() {
                    return Err(error);
                }
                for (page, bytes) in buffer.chunks_mut(PAGE_BYTES).enumerate() {
                    if store.read(name, offset + (page * PAGE_BYTES) as u64, bytes).is_err() {
                        bytes.fill(0);
                    }
                }
                wanted
            }
            read => read?,
        };
        buffer.truncate(read);
        self.held = buffer.freeze();
        Ok(())
    }

    /// Returns where the next frame may begin, from `offset` on. Searches the whole window before it reads on, so that
    /// each byte of the file is read once, even if the file is full of magic numbers.
    fn find_magic(&mut self, store: &mut dyn Store, mut offset: u64) -> io::Result<Option<u64>> {
        const BYTES: usize = FRAME_MAGIC.len();
        loop {
            let at = self.load(store, offset, BYTES)?;
            if at.len() < BYTES {
                return Ok(None);
            }
            let held = &self.held[at.start..];
            if let Some(at) = held.windows(BYTES).position(|bytes| bytes == FRAME_MAGIC) {
                return Ok(Some(offset + at as u64));
            }
            offset += (held.len() - BYTES + 1) as u64;
        }
    }
}
