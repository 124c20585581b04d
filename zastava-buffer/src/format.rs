//! The bytes on disk, as pure functions that touch no file. `FORMAT.md` is the specification. Integers are little-endian,
//! checksums are CRC-32C (RFC 3720, appendix B.4).

/// Declares a struct with the offset of each field, as in the tables of `FORMAT.md`. Fields after the two dots have no
/// fixed offset.
macro_rules! layout {
    (
        $(#[$meta:meta])*
        pub(crate) struct $name:ident {
            $($(#[$about:meta])* $at:literal: $field:ident: $type:ty,)*
            $(.. $($(#[$rest_about:meta])* $rest:ident: $rest_type:ty,)*)?
        }
    ) => {
        $(#[$meta])*
        pub(crate) struct $name {
            $($(#[$about])* pub(crate) $field: $type,)*
            $($($(#[$rest_about])* pub(crate) $rest: $rest_type,)*)?
        }

        impl $name {
            fn put_fields(&self, bytes: &mut [u8]) {
                $(super::put(bytes, $at, &self.$field.to_le_bytes());)*
            }

            fn of_fields(bytes: &[u8]) -> Self {
                Self {
                    $($field: <$type>::from_le_bytes(super::field(bytes, $at)),)*
                    $($($rest: Default::default(),)*)?
                }
            }
        }
    };
}

mod cursor;
mod footer;
mod frame;
mod segment;

pub(crate) use cursor::{CURSOR_BYTES, Cursor, CursorFound};
pub(crate) use footer::{Footer, TRAILER_BYTES};
pub(crate) use frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, encode_gap, gap_counts};
pub(crate) use segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName};

use crate::counts::{CountKey, Counts};
use crate::drop_reason::DropReason;
use crate::kind::Kind;

/// The version that this crate writes, in segments and in the cursor.
const VERSION: u16 = 1;

/// The highest sequence number. The bound keeps arithmetic on numbers from files from overflowing.
pub(crate) const SEQ_MAX: u64 = 1 << 56;

/// A line holds one count: kind (2 bytes, 256 = unknown), reason (1, 0 = live), mark (1), reserved (4), count (8).
const LINE_BYTES: usize = 16;
const KIND_UNKNOWN: u16 = 256;
const LIVE: u8 = 0;
/// Bound on the lines of any structure.
const LINES_MAX: usize = 4096;
/// Bound on one count: a record each microsecond for 35 years. The sum of all lines fits in 64 bits.
const COUNT_MAX: u64 = 1 << 50;

fn put_line(out: &mut Vec<u8>, (kind, reason): CountKey, mark: u8, count: u64) {
    out.extend_from_slice(&kind.map_or(KIND_UNKNOWN, |kind| u16::from(kind.0)).to_le_bytes());
    out.extend_from_slice(&[reason.map_or(LIVE, DropReason::code), mark, 0, 0, 0, 0]);
    out.extend_from_slice(&count.to_le_bytes());
}

/// Returns key, mark and count of each line. A count above the bound is cut, so that the sum is wrong and the caller
/// refuses the structure.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (CountKey, u8, u64)> + '_ {
    bytes.chunks_exact(LINE_BYTES).take(LINES_MAX).map(|line| {
        let kind = u8::try_from(u16::from_le_bytes(field(line, 0))).ok().map(Kind);
        let is_live = line[2] == LIVE && kind.is_some();
        let reason = (!is_live).then(|| DropReason::from_code(line[2]));
        ((kind, reason), line[3], u64::from_le_bytes(field(line, 8)).min(COUNT_MAX))
    })
}

fn counts_of_lines(bytes: &[u8]) -> Counts {
    let mut counts = Counts::default();
    lines(bytes).for_each(|(key, _, count)| counts.add(key, count));
    counts
}

/// Returns the `N` bytes at `at`. Callers pass fixed-size headers and offsets inside them.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Writes the checksum of all bytes but the last four into the last four.
fn seal(bytes: &mut [u8], seed: u32) {
    let at = bytes.len() - 4;
    let crc = crc32c::crc32c_append(seed, &bytes[..at]);
    put(bytes, at, &crc.to_le_bytes());
}

fn is_sealed(bytes: &[u8], seed: u32) -> bool {
    let at = bytes.len() - 4;
    u32::from_le_bytes(field(bytes, at)) == crc32c::crc32c_append(seed, &bytes[..at])
}
