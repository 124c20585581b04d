//! What a segment says of itself, twice: in its name and in its header of 64 bytes.

use std::fmt;

use super::{SEQ_MAX, VERSION, field, is_sealed, put, seal};
use crate::options::CLASSES_MAX;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"\xFFZBUFSG\xFE";
/// Leaves room to count on.
const EPOCH_MAX: u32 = u32::MAX / 2;

layout! {
    /// `<class>-<epoch>-<serial>-<first seq>-<salt>.seg`, in hexadecimal of fixed width: names sort in the order
    /// in which the segments were written. The name repeats what is needed to read the frames, so a damaged
    /// header costs nothing. The serial grows with each segment of an opening, so no name is used twice.
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
    /// `None` for a file that is not ours.
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
        // Printing it again refuses signs, capitals and odd widths, which the number parser allows.
        (parsed.is_possible() && parsed.to_string() == name).then_some(parsed)
    }

    /// Bounds on what names and headers may claim, so that counting on from them cannot overflow.
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

/// What the first 64 bytes of a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    Current {
        name: SegmentName,
        buffer_id: u128,
    },
    /// Intact, but of a newer version or with a feature that must be understood.
    Newer,
    /// Short or damaged: the name has to do.
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

    /// `bytes` is the start of the file, which may be shorter than a header.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Self::Damaged };
        if bytes[..8] != MAGIC || !is_sealed(bytes, 0) {
            return Self::Damaged;
        }
        // Of the features, those at 12 may be ignored; those at 16 must be understood, and version 1 has none.
        let must_understand = u32::from_le_bytes(field(bytes, 16));
        if u16::from_le_bytes(field(bytes, 8)) != VERSION || must_understand != 0 {
            return Self::Newer;
        }
        let name = SegmentName::of_fields(bytes);
        let buffer_id = u128::from_le_bytes(field(bytes, 40));
        if name.is_possible() { Self::Current { name, buffer_id } } else { Self::Damaged }
    }
}
