//! One record in a segment: a header of 32 bytes, then the payload.

use super::{field, put};
use crate::entry::Kind;
use crate::options::RECORD_BYTES_LIMIT;

pub(crate) const FRAME_HEADER_BYTES: usize = 32;

/// 0xFF and 0xFE occur in no UTF-8 text, so no text payload can look like the start of a frame.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0xFF, b'Z', 0xFE, b'F'];

/// Header and payload have checksums of their own: a damaged payload can still be skipped exactly
/// and counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_bytes: u32,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    /// Always 0 in version 1. A reader that finds anything else cannot interpret the payload.
    pub(crate) flags: u8,
    payload_crc: u32,
}

impl FrameHeader {
    /// The header for a payload, whose length the caller has checked.
    pub(crate) fn new(seq: u64, kind: Kind, payload: &[u8]) -> Self {
        debug_assert!(payload.len() as u64 <= RECORD_BYTES_LIMIT);
        Self {
            payload_bytes: payload.len() as u32,
            seq,
            kind,
            flags: 0,
            payload_crc: crc32c::crc32c(payload),
        }
    }

    /// The checksum starts from the segment's salt, so that a copy of a frame inside a payload, or
    /// stale bytes of another segment, do not pass for a frame of this one.
    pub(crate) fn encode(&self, salt: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 0, &FRAME_MAGIC);
        put(&mut bytes, 4, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, 8, &self.seq.to_le_bytes());
        bytes[16] = self.kind.0;
        bytes[17] = self.flags;
        put(&mut bytes, 24, &self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(salt, &bytes[..28]);
        put(&mut bytes, 28, &crc.to_le_bytes());
        bytes
    }

    /// `None` when these bytes are not an intact header of a frame in the segment with this salt.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES], salt: u32) -> Option<Self> {
        let crc = u32::from_le_bytes(field(bytes, 28));
        if bytes[..4] != FRAME_MAGIC || crc != crc32c::crc32c_append(salt, &bytes[..28]) {
            return None;
        }
        let header = Self {
            payload_bytes: u32::from_le_bytes(field(bytes, 4)),
            seq: u64::from_le_bytes(field(bytes, 8)),
            kind: Kind(bytes[16]),
            flags: bytes[17],
            payload_crc: u32::from_le_bytes(field(bytes, 24)),
        };
        (u64::from(header.payload_bytes) <= RECORD_BYTES_LIMIT).then_some(header)
    }

    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_bytes as usize && crc32c::crc32c(payload) == self.payload_crc
    }
}
