//! What a segment says of itself, twice: in its name and in its header of 64 bytes.

use std::fmt;

use super::{SEQ_MAX, VERSION, field, put};

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"\xFFZBUFSG\xFE";
const NAME_BYTES: usize = 16 + 1 + 16 + 1 + 8 + 4;

/// `<epoch>-<first seq>-<salt>.seg`, in hexadecimal of fixed width: names sort in the order in which
/// the segments were written. The name repeats what is needed to read the frames, so a damaged
/// header costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) epoch: u64,
    pub(crate) first_seq: u64,
    pub(crate) salt: u32,
}

impl SegmentName {
    /// `None` for a file that is not ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name.len() != NAME_BYTES {
            return None;
        }
        let mut parts = name.strip_suffix(".seg")?.split('-');
        let mut hexadecimal = || u64::from_str_radix(parts.next()?, 16).ok();
        let parsed = Self {
            epoch: hexadecimal()?,
            first_seq: hexadecimal()?,
            salt: u32::try_from(hexadecimal()?).ok()?,
        };
        // Printing it again refuses signs, capitals and odd widths, which the number parser allows.
        (parsed.is_possible() && parsed.to_string() == name).then_some(parsed)
    }

    /// Bounds on what names and headers may claim, so that counting on from them cannot overflow.
    fn is_possible(&self) -> bool {
        (1..=SEQ_MAX).contains(&self.first_seq) && (1..=SEQ_MAX).contains(&self.epoch)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}-{:08x}.seg", self.epoch, self.first_seq, self.salt)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: SegmentName,
    pub(crate) buffer_id: u128,
}

/// What the first 64 bytes of a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeaderFound {
    Current(SegmentHeader),
    /// Intact, but of a newer version or with a feature that must be understood.
    Newer,
    /// Short or damaged: the name has to do.
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 20, &self.identity.salt.to_le_bytes());
        put(&mut bytes, 24, &self.identity.epoch.to_le_bytes());
        put(&mut bytes, 32, &self.identity.first_seq.to_le_bytes());
        put(&mut bytes, 40, &self.buffer_id.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }

    /// `bytes` is the start of the file, which may be shorter than a header.
    pub(crate) fn decode(bytes: &[u8]) -> SegmentHeaderFound {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return SegmentHeaderFound::Damaged;
        };
        let crc = u32::from_le_bytes(field(bytes, 60));
        if bytes[..8] != MAGIC || crc != crc32c::crc32c(&bytes[..60]) {
            return SegmentHeaderFound::Damaged;
        }
        // Bytes 12 to 16 are features that a reader may ignore; bytes 16 to 20 are those it must
        // understand, and version 1 has none.
        let must_understand = u32::from_le_bytes(field(bytes, 16));
        if u16::from_le_bytes(field(bytes, 8)) != VERSION || must_understand != 0 {
            return SegmentHeaderFound::Newer;
        }
        let identity = SegmentName {
            salt: u32::from_le_bytes(field(bytes, 20)),
            epoch: u64::from_le_bytes(field(bytes, 24)),
            first_seq: u64::from_le_bytes(field(bytes, 32)),
        };
        if !identity.is_possible() {
            return SegmentHeaderFound::Damaged;
        }
        SegmentHeaderFound::Current(Self { identity, buffer_id: u128::from_le_bytes(field(bytes, 40)) })
    }
}
