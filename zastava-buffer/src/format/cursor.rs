//! What is settled: one file with two slots, written in turn, so that one of them is always whole.

use super::{SEQ_MAX, VERSION, field, put};
use crate::entry::Kind;
use crate::stats::{DropReason, Drops};

/// A slot is one block, so that a torn write of one slot cannot touch the other.
const SLOT_BYTES: usize = 4096;
pub(crate) const CURSOR_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: [u8; 8] = *b"\xFFZBUFCU\xFE";
const HEAD_BYTES: usize = 96;
const LINE_BYTES: usize = 16;
const LINES_MAX: usize = (SLOT_BYTES - HEAD_BYTES) / LINE_BYTES;
const KIND_UNKNOWN: u16 = 256;

/// Everything up to `released_through` is settled and in these totals; everything after it is in
/// the segments. So the books can be derived at any time, and no event is counted twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) generation: u64,
    pub(crate) buffer_id: u128,
    /// The latest epoch that may have been used.
    pub(crate) epoch: u64,
    /// The next number at the time of writing. The segments may know of higher ones.
    pub(crate) next_seq: u64,
    /// All records up to here are acknowledged, dropped or unaccounted.
    pub(crate) released_through: u64,
    /// The consumer knows the fate of all records up to here. The records from here to
    /// `released_through` were evicted, and a gap tells it so.
    pub(crate) acknowledged_through: u64,
    /// Numbers of unknown fate, because a cursor was lost. They count as never accepted.
    pub(crate) unaccounted: u64,
    pub(crate) acked: u64,
    pub(crate) dropped: Drops,
}

/// What a cursor file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CursorFound {
    Intact(Cursor),
    OneSlotDamaged(Cursor),
    /// Neither slot can be read, and one of them says that it is of a newer version.
    Newer,
    /// Never written.
    Blank,
    Lost,
}

impl Cursor {
    /// Where in the file this generation belongs.
    pub(crate) fn offset(&self) -> u64 {
        self.generation % 2 * SLOT_BYTES as u64
    }

    /// The slot without its unused rest, which readers ignore.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let lines: Vec<_> = self.dropped.iter().take(LINES_MAX).collect();
        let mut bytes = vec![0; HEAD_BYTES + lines.len() * LINE_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 10, &(lines.len() as u16).to_le_bytes());
        put(&mut bytes, 16, &self.generation.to_le_bytes());
        put(&mut bytes, 24, &self.buffer_id.to_le_bytes());
        put(&mut bytes, 40, &self.epoch.to_le_bytes());
        put(&mut bytes, 48, &self.next_seq.to_le_bytes());
        put(&mut bytes, 56, &self.released_through.to_le_bytes());
        put(&mut bytes, 64, &self.acknowledged_through.to_le_bytes());
        put(&mut bytes, 72, &self.unaccounted.to_le_bytes());
        put(&mut bytes, 80, &self.acked.to_le_bytes());
        for (line, (kind, reason, count)) in lines.into_iter().enumerate() {
            let at = HEAD_BYTES + line * LINE_BYTES;
            let kind = kind.map_or(KIND_UNKNOWN, |kind| u16::from(kind.0));
            put(&mut bytes, at, &kind.to_le_bytes());
            bytes[at + 2] = reason.code();
            put(&mut bytes, at + 8, &count.to_le_bytes());
        }
        let crc = checksum(&bytes);
        put(&mut bytes, 12, &crc.to_le_bytes());
        bytes
    }

    /// The newer one of the intact slots of a cursor file.
    pub(crate) fn decode(file: &[u8]) -> CursorFound {
        let mut slots = file.chunks(SLOT_BYTES).take(2).map(Slot::decode);
        let (first, second) = (slots.next().unwrap_or(Slot::Damaged), slots.next().unwrap_or(Slot::Damaged));
        match (first, second) {
            (Slot::Intact(a), Slot::Intact(b)) => {
                CursorFound::Intact(if a.generation > b.generation { a } else { b })
            }
            // A new file has one slot that was never written.
            (Slot::Intact(cursor), Slot::Blank) | (Slot::Blank, Slot::Intact(cursor))
                if cursor.generation == 1 =>
            {
                CursorFound::Intact(cursor)
            }
            (Slot::Intact(cursor), _) | (_, Slot::Intact(cursor)) => CursorFound::OneSlotDamaged(cursor),
            (Slot::Newer, _) | (_, Slot::Newer) => CursorFound::Newer,
            (Slot::Blank, Slot::Blank) => CursorFound::Blank,
            _ => CursorFound::Lost,
        }
    }

    /// The promise that [`Stats`](crate::Stats) rests on.
    fn is_balanced(&self) -> bool {
        let sum = self.dropped.iter().try_fold(self.unaccounted, |sum, (_, _, count)| sum.checked_add(count));
        sum.and_then(|sum| sum.checked_add(self.acked)) == Some(self.released_through)
            && self.acknowledged_through <= self.released_through
            && self.released_through < self.next_seq
            && self.next_seq <= SEQ_MAX
            && self.epoch <= SEQ_MAX
            && self.generation <= SEQ_MAX
    }
}

enum Slot {
    Intact(Cursor),
    Blank,
    Newer,
    Damaged,
}

impl Slot {
    fn decode(bytes: &[u8]) -> Self {
        if bytes.len() < HEAD_BYTES {
            return Self::Damaged;
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::Blank;
        }
        if bytes[..8] != MAGIC {
            return Self::Damaged;
        }
        if u16::from_le_bytes(field(bytes, 8)) != VERSION {
            return Self::Newer;
        }
        let lines = usize::from(u16::from_le_bytes(field(bytes, 10)));
        let Some(bytes) = bytes.get(..HEAD_BYTES + lines * LINE_BYTES) else { return Self::Damaged };
        if u32::from_le_bytes(field(bytes, 12)) != checksum(bytes) {
            return Self::Damaged;
        }
        let cursor = Cursor {
            generation: u64::from_le_bytes(field(bytes, 16)),
            buffer_id: u128::from_le_bytes(field(bytes, 24)),
            epoch: u64::from_le_bytes(field(bytes, 40)),
            next_seq: u64::from_le_bytes(field(bytes, 48)),
            released_through: u64::from_le_bytes(field(bytes, 56)),
            acknowledged_through: u64::from_le_bytes(field(bytes, 64)),
            unaccounted: u64::from_le_bytes(field(bytes, 72)),
            acked: u64::from_le_bytes(field(bytes, 80)),
            dropped: dropped(&bytes[HEAD_BYTES..]),
        };
        if cursor.is_balanced() { Self::Intact(cursor) } else { Self::Damaged }
    }
}

fn dropped(lines: &[u8]) -> Drops {
    let mut dropped = Drops::default();
    for line in lines.chunks_exact(LINE_BYTES) {
        let kind = u8::try_from(u16::from_le_bytes(field(line, 0))).ok().map(Kind);
        // A count that is cut here no longer balances, and the caller refuses the slot.
        let count = u64::from_le_bytes(field(line, 8)).min(SEQ_MAX >> 8);
        dropped.add(kind, DropReason::from_code(line[2]), count);
    }
    dropped
}

/// Over the whole used part except the checksum's own four bytes.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}
