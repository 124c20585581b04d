//! The identity of a segment, which is both in its file name and in its header of 64 bytes.

use std::fmt;

use super::{SEQ_MAX, VERSION, field, is_sealed, put, seal};
use crate::options::CLASSES_MAX;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"\xFFZBUFSG\xFE";
/// Half of the range, so that later epochs do not overflow.
const EPOCH_MAX: u32 = u32::MAX / 2;

layout! {
    /// `<class>-<epoch>-<serial>-<first seq>-<salt>.seg`, in hexadecimal of fixed width. Names sort in the order in which
    /// the segments were written. The name has everything that is needed to read the frames, so a damaged header loses
    /// nothing. The serial counts the segments of an opening, so no name is used twice.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct SegmentName {
        10: class: u8,
        24: epoch: u32,
        28: serial: u32,
        32: first_seq: u64,
        20: salt: u32,
    }
}

impl SegmentName {
    /// Parses a file name. `None` if it is not the name of a segment.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.split('-');
        let mut hexadecimal = || u64::from_str_radix(parts.next()?, 16).ok();
        let parsed = Self {
            class: u8::try_from(hexadecimal()?).ok()?,
            epoch: u32::try_from(hexadecimal()?).ok()?,
            serial: u32::try_from(hexadecimal()?).ok()?,
            first_seq: hexadecimal()?,
            salt: u32::try_from(hexadecimal()?).ok()?,
        };
        // The number parser accepts signs, capitals and other widths. Formatting the result again refuses them.
        (parsed.is_possible() && parsed.to_string() == name).then_some(parsed)
    }

    /// Bounds the values of names and headers, so that counting on from them cannot overflow.
    fn is_possible(&self) -> bool {
        (1..=SEQ_MAX).contains(&self.first_seq)
            && (1..=EPOCH_MAX).contains(&self.epoch)
            && usize::from(self.class) < CLASSES_MAX
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, epoch, serial, first_seq, salt } = self;
        write!(f, "{class:02x}-{epoch:08x}-{serial:08x}-{first_seq:016x}-{salt:08x}.seg")
    }
}

/// The result of decoding the first 64 bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    Current {
        name: SegmentName,
        buffer_id: u128,
    },
    /// The header is intact, but of a newer version or with an unknown feature that must be understood.
    Newer,
    /// The header is short or damaged. The file name is used instead.
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(name: &SegmentName, buffer_id: u128) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        name.put_fields(&mut bytes);
        put(&mut bytes, 40, &buffer_id.to_le_bytes());
        seal(&mut bytes, 0);
        bytes
    }

    /// Decodes the start of a file, which may be shorter than a header.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Self::Damaged };
        if bytes[..8] != MAGIC || !is_sealed(bytes, 0) {
            return Self::Damaged;
        }
        // Unknown features at 12 may be ignored. Those at 16 must be understood, and version 1 has none.
        let must_understand = u32::from_le_bytes(field(bytes, 16));
        if u16::from_le_bytes(field(bytes, 8)) != VERSION || must_understand != 0 {
            return Self::Newer;
        }
        let name = SegmentName::of_fields(bytes);
        let buffer_id = u128::from_le_bytes(field(bytes, 40));
        if name.is_possible() { Self::Current { name, buffer_id } } else { Self::Damaged }
    }
}
