//! A frame of a segment: a header of 32 bytes, then the payload. A gap frame stands for records that were dropped before
//! they reached the disk.

use super::{SEQ_MAX, counts_of_lines, is_sealed, put, put_line, seal};
use crate::counts::Counts;
use crate::kind::Kind;
use crate::options::RECORD_BYTES_LIMIT;

pub(crate) const FRAME_HEADER_BYTES: usize = 32;

/// 0xFF and 0xFE do not occur in UTF-8, so no text payload looks like the start of a frame.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0xFF, b'Z', 0xFE, b'F'];

const FLAG_GAP: u8 = 1;

layout! {
    /// Header and payload have separate checksums, so a damaged payload can be skipped exactly and counted by kind.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct FrameHeader {
        4: payload_bytes: u32,
        8: seq: u64,
        16: kind: u8,
        17: flags: u8,
        /// How many numbers the frame stands for. 1 unless it is a gap.
        20: span: u32,
        24: payload_crc: u32,
    }
}

impl FrameHeader {
    /// Creates the header of a record. The caller has checked the length of the payload.
    pub(crate) fn new(seq: u64, kind: Kind, payload_bytes: usize, payload_crc: u32) -> Self {
        Self { payload_bytes: payload_bytes as u32, seq, kind: kind.0, flags: 0, span: 1, payload_crc }
    }

    /// Encodes the header. The checksum starts from the salt of the opening, so that neither a copy of a frame inside a
    /// payload nor stale bytes of another opening pass as a frame.
    ///
    /// docs/design/buffer.md#why-is-there-one-salt-for-each-opening-and-not-for-each-segment
    pub(crate) fn encode(&self, salt: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 0, &FRAME_MAGIC);
        self.put_fields(&mut bytes);
        seal(&mut bytes, salt);
        bytes
    }

    /// Decodes a header. `None` if the bytes are not an intact header with this salt.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES], salt: u32) -> Option<Self> {
        if bytes[..4] != FRAME_MAGIC || !is_sealed(bytes, salt) {
            return None;
        }
        let header = Self::decode_own(bytes);
        let possible = u64::from(header.payload_bytes) <= RECORD_BYTES_LIMIT
            && (header.span == 1 || header.span > 0 && !header.is_record())
            && (1..=SEQ_MAX).contains(&header.seq);
        possible.then_some(header)
    }

    /// Decodes a header without checking it, for bytes that never left our memory.
    pub(crate) fn decode_own(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        Self::of_fields(bytes)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind(self.kind)
    }

    pub(crate) fn is_record(&self) -> bool {
        self.flags == 0
    }

    pub(crate) fn is_gap(&self) -> bool {
        self.flags == FLAG_GAP
    }

    pub(crate) fn end_seq(&self) -> u64 {
        self.seq + u64::from(self.span)
    }

    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        let intact =
            payload.len() == self.payload_bytes as usize && crc32c::crc32c(payload) == self.payload_crc;
        intact || crate::mutation::is_planted(crate::mutation::Mutation::NoPayloadChecksum)
    }
}

/// Encodes a gap frame for the dropped records from `seq` on.
pub(crate) fn encode_gap(seq: u64, counts: &Counts, salt: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    counts.iter().for_each(|(key, count)| put_line(&mut payload, key, 0, count));
    let span = u32::try_from(counts.total()).unwrap_or(u32::MAX);
    let mut header = FrameHeader::new(seq, Kind(0), payload.len(), crc32c::crc32c(&payload));
    (header.flags, header.span) = (FLAG_GAP, span);
    let mut frame = header.encode(salt).to_vec();
    frame.extend_from_slice(&payload);
    frame
}

/// Returns the counts of an intact gap frame. `None` if they do not add up.
pub(crate) fn gap_counts(header: &FrameHeader, payload: &[u8]) -> Option<Counts> {
    let counts = counts_of_lines(payload);
    (counts.live() == 0 && counts.total() == u64::from(header.span)).then_some(counts)
}
