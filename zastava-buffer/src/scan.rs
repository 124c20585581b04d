//! Reads the frames of one segment, whatever is in it: every number in its range comes out once, as
//! a record or as lost. Damage is skipped by looking for the next intact header.

use crate::entry::Kind;
use crate::error::Error;
use crate::format::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
use crate::stats::DropReason;
use crate::storage::DataFile;

/// A place between two frames: an offset in the file, and the number of the frame that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    pub(crate) seq: u64,
}

/// What is known about a segment before it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) start: Position,
    /// Readable length of the file.
    pub(crate) len: u64,
    pub(crate) salt: u32,
    /// Numbers below were settled earlier: they are passed over.
    pub(crate) from_seq: u64,
    /// Numbers below were certainly given in this segment; those not found are lost.
    pub(crate) known_end: u64,
    /// Frames from here on are void: a later segment has these numbers.
    pub(crate) limit: u64,
    /// Why numbers are lost for which there are no bytes.
    pub(crate) absence: DropReason,
}

#[derive(Debug)]
pub(crate) enum Found<'a> {
    Record { seq: u64, kind: Kind, payload: &'a [u8] },
    Lost { first_seq: u64, last_seq: u64, kind: Option<Kind>, reason: DropReason },
}

/// An iterator over a segment, except that it lends what it finds.
#[derive(Debug)]
pub(crate) struct Frames {
    window: Window,
    extent: Extent,
    before: Position,
    position: Position,
    torn_tail: bool,
}

impl Frames {
    /// Reads `window_bytes` at a time, more only for a longer record.
    pub(crate) fn new(file: Option<DataFile>, extent: Extent, window_bytes: usize) -> Self {
        let len = if file.is_some() { extent.len } else { extent.start.offset };
        let window = Window { file, len, window_bytes, start: 0, buffer: Vec::new() };
        Self { window, extent, before: extent.start, position: extent.start, torn_tail: false }
    }

    /// The next number that was not settled earlier, or `None` at the end of the segment.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>, Error> {
        loop {
            self.before = self.position;
            let Some(step) = self.step()? else { return Ok(None) };
            if self.position.seq <= self.extent.from_seq {
                continue;
            }
            return Ok(Some(match step {
                Step::Record(header) => Found::Record {
                    seq: header.seq,
                    kind: header.kind,
                    payload: self.window.payload(self.position.offset, &header),
                },
                Step::Lost(kind, reason) => Found::Lost {
                    first_seq: self.before.seq.max(self.extent.from_seq),
                    last_seq: self.position.seq - 1,
                    kind,
                    reason,
                },
            }));
        }
    }

    /// Where the last find began.
    pub(crate) fn before(&self) -> Position {
        self.before
    }

    /// Where the last find ended.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Whether the segment ended in part of a frame, once `next` has returned `None`.
    pub(crate) fn torn_tail(&self) -> bool {
        self.torn_tail
    }

    /// Moves `position` over one record or one stretch of lost numbers.
    fn step(&mut self) -> Result<Option<Step>, Error> {
        let Position { offset, seq } = self.position;
        if seq >= self.extent.limit {
            return Ok(None);
        }
        let salt = self.extent.salt;
        let bytes = self.window.at(offset, FRAME_HEADER_BYTES)?;
        let Some(bytes) = bytes.first_chunk() else { return Ok(self.end(false)) };
        let header = match FrameHeader::decode(bytes, salt) {
            Some(header) if header.seq == seq => header,
            _ => return self.resynchronise(),
        };
        let payload = self.window.at(offset + FRAME_HEADER_BYTES as u64, header.payload_bytes as usize)?;
        if payload.len() < header.payload_bytes as usize {
            return Ok(self.end(false));
        }
        let step = if header.flags != 0 {
            Step::Lost(Some(header.kind), DropReason::UnreadableVersion)
        } else if header.matches(payload) {
            Step::Record(header)
        } else {
            Step::Lost(Some(header.kind), DropReason::Corrupt)
        };
        let frame_bytes = FRAME_HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        self.position = Position { offset: offset + frame_bytes, seq: seq + 1 };
        Ok(Some(step))
    }

    /// Finds the next header whose number can be right: every lost frame took at least a header's
    /// length, so damage cannot make us believe in more lost records than there was room for.
    fn resynchronise(&mut self) -> Result<Option<Step>, Error> {
        let Position { offset: damage, seq } = self.position;
        let mut offset = damage + 1;
        while let Some(candidate) = self.window.find(&FRAME_MAGIC, offset)? {
            offset = candidate + 1;
            let Some(bytes) = self.window.at(candidate, FRAME_HEADER_BYTES)?.first_chunk() else { break };
            let Some(header) = FrameHeader::decode(bytes, self.extent.salt) else { continue };
            let lost_max = (candidate - damage) / FRAME_HEADER_BYTES as u64;
            if header.seq < seq || header.seq - seq > lost_max || header.seq >= self.extent.limit {
                continue;
            }
            self.position = Position { offset: candidate, seq: header.seq };
            // Nothing is lost when all that was skipped are bytes between two frames.
            return if header.seq == seq { self.step() } else { Ok(Some(CORRUPT)) };
        }
        Ok(self.end(true))
    }

    /// The rest of the file holds no frame. Numbers that must have been here are lost; if none is
    /// known, bytes that are no torn frame stand for one record at least.
    fn end(&mut self, damaged: bool) -> Option<Step> {
        let Position { offset, seq } = self.position;
        let rest = self.window.len.saturating_sub(offset);
        self.position.offset = self.window.len.max(offset);
        if seq < self.extent.known_end {
            self.position.seq = self.extent.known_end;
            return Some(if damaged { CORRUPT } else { Step::Lost(None, self.extent.absence) });
        }
        if damaged {
            self.position.seq += 1;
            return Some(CORRUPT);
        }
        self.torn_tail |= rest > 0;
        None
    }
}

enum Step {
    Record(FrameHeader),
    Lost(Option<Kind>, DropReason),
}

const CORRUPT: Step = Step::Lost(None, DropReason::Corrupt);

/// A stretch of the file in memory.
#[derive(Debug)]
struct Window {
    file: Option<DataFile>,
    len: u64,
    window_bytes: usize,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    /// `wanted` bytes from `offset`, or fewer where the file ends.
    fn at(&mut self, offset: u64, wanted: usize) -> Result<&[u8], Error> {
        let left = self.len.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
        if wanted == 0 {
            return Ok(&[]);
        }
        let held = self.start..=self.start + self.buffer.len() as u64;
        if !(held.contains(&offset) && held.contains(&(offset + wanted as u64))) {
            self.fill(offset, wanted.max(self.window_bytes))?;
        }
        let at = (offset - self.start) as usize;
        let end = self.buffer.len().min(at + wanted);
        Ok(&self.buffer[at..end])
    }

    fn fill(&mut self, offset: u64, wanted: usize) -> Result<(), Error> {
        let left = self.len - offset;
        let wanted = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
        self.start = offset;
        self.buffer.resize(wanted, 0);
        let read = match &self.file {
            Some(file) => file.read_at(&mut self.buffer, offset),
            None => Ok(0),
        };
        // After a failed read the window holds nothing, so that the next call reads again.
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }

    /// The payload that ends at `end` and that `at` has just loaded.
    fn payload(&self, end: u64, header: &FrameHeader) -> &[u8] {
        let payload_bytes = header.payload_bytes as usize;
        if payload_bytes == 0 {
            return &[];
        }
        let end = (end - self.start) as usize;
        &self.buffer[end - payload_bytes..end]
    }

    /// Where `pattern` first occurs from `offset` on. Searches all that is held before it reads on,
    /// so that a file full of patterns is still read once only.
    fn find(&mut self, pattern: &[u8; 4], mut offset: u64) -> Result<Option<u64>, Error> {
        while self.at(offset, pattern.len())?.len() == pattern.len() {
            let held = &self.buffer[(offset - self.start) as usize..];
            if let Some(at) = held.windows(pattern.len()).position(|bytes| bytes == pattern) {
                return Ok(Some(offset + at as u64));
            }
            offset += (held.len() - pattern.len() + 1) as u64;
        }
        Ok(None)
    }
}
