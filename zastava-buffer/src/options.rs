//! The three numbers a caller decides, and their ranges.

use crate::error::Error;
use crate::format::{CURSOR_BYTES, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};

/// Smallest cap: 64 KiB.
pub const BYTES_MAX_MIN: u64 = 64 << 10;
/// Smallest segment: 4 KiB, one block.
pub const SEGMENT_BYTES_MIN: u64 = BLOCK_BYTES;
/// No record can be larger than this, whatever the options say: 16 MiB. It bounds the memory that
/// a damaged or foreign file can make us use.
pub const RECORD_BYTES_LIMIT: u64 = 16 << 20;

const SEGMENT_BYTES_DEFAULT_MAX: u64 = 16 << 20;
const RECORD_BYTES_DEFAULT: u64 = 1 << 20;
const SEGMENT_OVERHEAD_BYTES: u64 = (SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES) as u64;

/// Disk use is counted in blocks of this size, which is how file systems give it out.
const BLOCK_BYTES: u64 = 4096;

/// The room that a file of this length takes.
pub(crate) fn blocks(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_BYTES)
}

/// How much a buffer may hold. All values are in bytes; [`Buffer::open`](crate::Buffer::open)
/// refuses contradictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Cap on the disk space of all files of the buffer, each counted in whole blocks of 4 KiB.
    /// At least [`BYTES_MAX_MIN`]; 64 MiB by default. For a volume with its own limit stay below
    /// that limit. It may be lowered between two openings: the oldest records are then dropped.
    pub bytes_max: u64,
    /// Length at which a segment ends and the next begins. Space is freed by whole segments, so
    /// this is also how much one eviction drops. From [`SEGMENT_BYTES_MIN`] to half the cap; by
    /// default an eighth of it, at most 16 MiB.
    pub segment_bytes: u64,
    /// Longest record. A record, its header and the segment's header (96 bytes together) must fit
    /// in one segment. By default 1 MiB or what fits, at most [`RECORD_BYTES_LIMIT`].
    pub record_bytes_max: u64,
}

impl Options {
    /// The defaults for a cap of `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        let segment_bytes = (bytes_max / 8).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_DEFAULT_MAX);
        let record_bytes_max = RECORD_BYTES_DEFAULT.min(segment_bytes - SEGMENT_OVERHEAD_BYTES);
        Self { bytes_max, segment_bytes, record_bytes_max }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        within("bytes_max", self.bytes_max, BYTES_MAX_MIN, i64::MAX as u64)?;
        // Two full segments always fit, so that making room never has to empty the queue.
        let half = (self.bytes_max - CURSOR_BYTES as u64) / 2;
        within("segment_bytes", self.segment_bytes, SEGMENT_BYTES_MIN, half - half % BLOCK_BYTES)?;
        let record_bytes_max = RECORD_BYTES_LIMIT.min(self.segment_bytes - SEGMENT_OVERHEAD_BYTES);
        within("record_bytes_max", self.record_bytes_max, 1, record_bytes_max)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

fn within(option: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::InvalidOption { option, value, min, max }) }
}
