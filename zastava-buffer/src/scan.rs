//! Reads the frames of one segment, whatever is in it: every number in its range comes out once, as
//! a record or as lost. Damage is skipped by looking for the next intact header.

use std::io;

use bytes::Bytes;

use crate::entry::Kind;
use crate::format::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, gap_tally};
use crate::store::Store;
use crate::tally::{DropReason, Tally};

/// Read at a time, more only for a longer record.
pub(crate) const WINDOW_BYTES: usize = 64 << 10;

const PAGE_BYTES: usize = 4096;
/// A page is given up after so many failures, a second apart at the end, if the rest of the file can be read.
const FAILURES_OF_PAGE: u32 = 3;
/// And after so many if nothing can.
const FAILURES_OF_STORE: u32 = 300;

/// What is known about a segment before it is read.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) name: String,
    pub(crate) salt: u32,
    /// Where to begin, and the number expected there.
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    /// Where frames end.
    pub(crate) len: u64,
    /// Numbers below were settled earlier: they are passed over.
    pub(crate) from_seq: u64,
    /// Numbers below were certainly given in this segment; those not found are lost.
    pub(crate) known_end: u64,
    /// Frames from here on are void: a later segment has these numbers.
    pub(crate) limit: u64,
}

#[derive(Debug)]
pub(crate) enum Found {
    Record {
        seq: u64,
        kind: Kind,
        payload: Bytes,
    },
    /// Numbers from `first` up to `end`; the tally sums up to them.
    Lost {
        first: u64,
        end: u64,
        tally: Tally,
    },
}

impl Found {
    pub(crate) fn add_to(&self, sum: &mut Tally) {
        match self {
            Self::Record { kind, .. } => sum.add((Some(*kind), None), 1),
            Self::Lost { tally, .. } => sum.merge(tally),
        }
    }
}

/// An iterator over a segment.
#[derive(Debug)]
pub(crate) struct Frames {
    window: Window,
    extent: Extent,
    torn_tail: bool,
}

impl Frames {
    /// Where reading has failed so often already, pages that cannot be read count as damage in the end, instead of
    /// being an error.
    pub(crate) fn new(extent: Extent, failures: u32) -> Self {
        let window =
            Window { name: extent.name.clone(), len: extent.len, start: 0, bytes: Bytes::new(), failures };
        Self { window, extent, torn_tail: false }
    }

    /// Reads on where it stands. More may be written by now, and more settled.
    pub(crate) fn go_on(&mut self, extent: Extent) {
        self.window.len = extent.len;
        self.extent = Extent { offset: self.extent.offset, seq: self.extent.seq, ..extent };
    }

    /// The next number that was not settled earlier, or `None` at the end of the segment.
    pub(crate) fn next(&mut self, store: &mut dyn Store) -> io::Result<Option<Found>> {
        loop {
            let Some(found) = self.step(store)? else { return Ok(None) };
            match found {
                Found::Lost { first, end, tally } if end > self.extent.from_seq => {
                    let first = first.max(self.extent.from_seq);
                    return Ok(Some(Found::Lost { first, end, tally: tally.part(end - first) }));
                }
                Found::Record { seq, .. } if seq >= self.extent.from_seq => return Ok(Some(found)),
                _ => {}
            }
        }
    }

    /// The number that comes next.
    pub(crate) fn seq(&self) -> u64 {
        self.extent.seq
    }

    pub(crate) fn name(&self) -> &str {
        &self.extent.name
    }

    /// Whether the segment ended in part of a frame, once `next` has returned `None`.
    pub(crate) fn torn_tail(&self) -> bool {
        self.torn_tail
    }

    /// Moves over one frame or one stretch of damage.
    fn step(&mut self, store: &mut dyn Store) -> io::Result<Option<Found>> {
        let (offset, seq) = (self.extent.offset, self.extent.seq);
        if seq >= self.extent.limit {
            return Ok(None);
        }
        let bytes = self.window.at(store, offset, FRAME_HEADER_BYTES)?;
        let Some(bytes) = bytes.first_chunk() else { return Ok(self.end(false)) };
        let header = match FrameHeader::decode(bytes, self.extent.salt) {
            Some(header) if header.seq == seq && header.end_seq() <= self.extent.limit => header,
            _ => return self.resynchronise(store),
        };
        let start = offset + FRAME_HEADER_BYTES as u64;
        let payload = self.window.at(store, start, header.payload_bytes as usize)?;
        if payload.len() < header.payload_bytes as usize {
            return Ok(self.end(false));
        }
        let intact = header.matches(payload);
        let gap = if intact && header.is_gap() { gap_tally(&header, payload) } else { None };
        self.extent.offset = start + u64::from(header.payload_bytes);
        self.extent.seq = header.end_seq();
        if intact && header.is_record() {
            let payload = self.window.slice(start, header.payload_bytes as usize);
            return Ok(Some(Found::Record { seq, kind: header.kind(), payload }));
        }
        let reason = if header.is_record() || header.is_gap() {
            DropReason::Corrupt
        } else {
            DropReason::UnreadableVersion
        };
        let kind = if header.is_gap() { None } else { Some(header.kind()) };
        let tally = gap.unwrap_or_else(|| Tally::of((kind, Some(reason)), u64::from(header.span)));
        Ok(Some(Found::Lost { first: seq, end: header.end_seq(), tally }))
    }

    /// Finds the next header whose number can be right.
    fn resynchronise(&mut self, store: &mut dyn Store) -> io::Result<Option<Found>> {
        let mut offset = self.extent.offset + 1;
        while let Some(candidate) = self.window.find(store, &FRAME_MAGIC, offset)? {
            offset = candidate + 1;
            let bytes = self.window.at(store, candidate, FRAME_HEADER_BYTES)?;
            let Some(bytes) = bytes.first_chunk() else { break };
            let Some(header) = FrameHeader::decode(bytes, self.extent.salt) else { continue };
            if header.seq < self.extent.seq || header.end_seq() > self.extent.limit {
                continue;
            }
            self.extent.offset = candidate;
            // Nothing is lost when all that was skipped are bytes between two frames.
            let lost = self.lost_up_to(header.seq, DropReason::Corrupt);
            return if lost.is_some() { Ok(lost) } else { self.step(store) };
        }
        Ok(self.end(true))
    }

    /// The rest of the file holds no frame. Numbers that must have been here are lost; if none is
    /// known, bytes that are no torn frame stand for one record at least.
    fn end(&mut self, damaged: bool) -> Option<Found> {
        let rest = self.extent.len.saturating_sub(self.extent.offset);
        self.extent.offset = self.extent.len.max(self.extent.offset);
        let reason = if damaged { DropReason::Corrupt } else { DropReason::Missing };
        let known = self.extent.known_end.min(self.extent.limit);
        let least = if damaged { self.extent.seq + 1 } else { self.extent.seq };
        let lost = self.lost_up_to(known.max(least), reason);
        self.torn_tail |= lost.is_none() && rest > 0;
        lost
    }

    fn lost_up_to(&mut self, end: u64, reason: DropReason) -> Option<Found> {
        let first = std::mem::replace(&mut self.extent.seq, end);
        let tally = Tally::of((None, Some(reason)), end - first);
        (end > first).then_some(Found::Lost { first, end, tally })
    }
}

/// A stretch of the file in memory.
#[derive(Debug)]
struct Window {
    name: String,
    len: u64,
    start: u64,
    bytes: Bytes,
    /// So often reading has failed here.
    failures: u32,
}

impl Window {
    /// `wanted` bytes from `offset`, or fewer where the file ends.
    fn at(&mut self, store: &mut dyn Store, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let left = self.len.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
        if wanted == 0 {
            return Ok(&[]);
        }
        let held = self.start..=self.start + self.bytes.len() as u64;
        if !(held.contains(&offset) && held.contains(&(offset + wanted as u64))) {
            self.fill(store, offset, wanted.max(WINDOW_BYTES))?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at.min(self.bytes.len())..self.bytes.len().min(at + wanted)])
    }

    fn fill(&mut self, store: &mut dyn Store, offset: u64, wanted: usize) -> io::Result<()> {
        let left = self.len - offset;
        let wanted = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
        // After a failed read the window holds nothing, so that the next call reads again.
        self.start = offset;
        // Memory that nobody holds a slice of serves again, unless a long record made it large.
        let held = std::mem::take(&mut self.bytes).try_into_mut().ok();
        let mut buffer = held.filter(|held| held.capacity() <= WINDOW_BYTES).unwrap_or_default();
        buffer.resize(wanted, 0);
        let read = match store.read(&self.name, offset, &mut buffer) {
            // A file that is gone has no bytes; its numbers are lost, and are counted like any others.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) if self.failures >= FAILURES_OF_PAGE => {
                // A bad sector costs a page. If nothing of the file can be read it is not that, but trouble that
                // may pass: for long nothing is given up for it.
                let may_pass =
                    self.failures < FAILURES_OF_STORE && store.read(&self.name, 0, &mut [0]).is_err();
                if may_pass {
                    return Err(error);
                }
                for (page, bytes) in buffer.chunks_mut(PAGE_BYTES).enumerate() {
                    if store.read(&self.name, offset + (page * PAGE_BYTES) as u64, bytes).is_err() {
                        bytes.fill(0);
                    }
                }
                wanted
            }
            read => read?,
        };
        buffer.truncate(read);
        self.bytes = buffer.freeze();
        Ok(())
    }

    /// The bytes that `at` has just loaded.
    fn slice(&self, offset: u64, len: usize) -> Bytes {
        if len == 0 {
            return Bytes::new();
        }
        let at = (offset - self.start) as usize;
        self.bytes.slice(at..at + len)
    }

    /// Where `pattern` first occurs from `offset` on. Searches all that is held before it reads on,
    /// so that a file full of patterns is still read once only.
    fn find(&mut self, store: &mut dyn Store, pattern: &[u8; 4], mut offset: u64) -> io::Result<Option<u64>> {
        while self.at(store, offset, pattern.len())?.len() == pattern.len() {
            let held = &self.bytes[(offset - self.start) as usize..];
            if let Some(at) = held.windows(pattern.len()).position(|bytes| bytes == pattern) {
                return Ok(Some(offset + at as u64));
            }
            offset += (held.len() - pattern.len() + 1) as u64;
        }
        Ok(None)
    }
}
