//! The bytes on disk, as pure functions: nothing here touches a file. `FORMAT.md` is the
//! specification. All integers are little-endian, all checksums CRC-32C (RFC 3720, appendix B.4).

mod cursor;
mod frame;
mod segment;

pub(crate) use cursor::{CURSOR_BYTES, Cursor, CursorFound};
pub(crate) use frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};
pub(crate) use segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFound, SegmentName};

/// The version that this crate writes, in segments and in the cursor.
const VERSION: u16 = 1;

/// No record has a higher number. It keeps arithmetic on numbers read from files away from overflow.
pub(crate) const SEQ_MAX: u64 = 1 << 62;

/// The `N` bytes at `at`. The callers pass fixed-size headers and offsets inside them.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
