//! The footer of a sealed segment: the counts of its records. With it, opening need not read the segment, and damaged
//! records can be counted by kind.

use super::{LINE_BYTES, counts_of_lines, field, is_sealed, put, put_line, seal};
use crate::counts::Counts;

/// The fixed part at the end of the file. The lines precede it.
pub(crate) const TRAILER_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"\xFFZBUFFT\xFE";
const LINES_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// One above the last number in the segment.
    pub(crate) end_seq: u64,
    /// Counts of all numbers in the segment.
    pub(crate) counts: Counts,
}

impl Footer {
    pub(crate) fn bytes(counts: &Counts) -> u64 {
        (counts.len().min(LINES_MAX) * LINE_BYTES + TRAILER_BYTES) as u64
    }

    pub(crate) fn encode(&self, salt: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.counts.iter().take(LINES_MAX).for_each(|(key, count)| put_line(&mut bytes, key, 0, count));
        let at = bytes.len();
        bytes.resize(at + TRAILER_BYTES, 0);
        put(&mut bytes, at, &MAGIC);
        put(&mut bytes, at + 8, &self.end_seq.to_le_bytes());
        put(&mut bytes, at + 16, &((at / LINE_BYTES) as u32).to_le_bytes());
        seal(&mut bytes, salt);
        bytes
    }

    /// Returns the length of the footer that ends with this trailer. `None` if it is no trailer.
    pub(crate) fn len_of(trailer: &[u8]) -> Option<usize> {
        let trailer: &[u8; TRAILER_BYTES] = trailer.try_into().ok()?;
        let lines = u32::from_le_bytes(field(trailer, 16)) as usize;
        (trailer[..8] == MAGIC && lines <= LINES_MAX).then_some(lines * LINE_BYTES + TRAILER_BYTES)
    }

    /// Decodes a footer of the length that [`len_of`](Self::len_of) returned, or what the file has of it.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let (lines, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
        let end_seq = u64::from_le_bytes(field(trailer, 8));
        is_sealed(bytes, salt).then(|| Self { end_seq, counts: counts_of_lines(lines) })
    }
}
