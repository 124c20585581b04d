//! The cursor: what is settled. One file has two slots, written in turn, so that one of them is always whole.

use super::{LINE_BYTES, SEQ_MAX, VERSION, field, put, put_line};
use crate::counts::Counts;
use crate::mutation::{Mutation, is_planted};
use crate::stats::CursorCondition;

/// A slot is one block, so that a torn write of one slot cannot touch the other.
const SLOT_BYTES: usize = 4096;
pub(crate) const CURSOR_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: [u8; 8] = *b"\xFFZBUFCU\xFE";
const HEAD_BYTES: usize = 104;
const LINES_MAX: usize = (SLOT_BYTES - HEAD_BYTES) / LINE_BYTES;
/// Marks of lines: part of the totals, or of the drops that were not yet reported to the consumer.
const TOTAL: u8 = 0;
const UNREPORTED: u8 = 1;
const CLEAN: u8 = 1;

layout! {
    /// Numbers up to `released_through` are settled and in these totals. Later numbers are in the segments. So all counts
    /// can be computed at any time, and no record is counted twice.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Cursor {
        16: generation: u64,
        24: buffer_id: u128,
        /// The latest epoch that may be in use.
        40: epoch: u32,
        /// The next number on disk at the time of writing. Segments may hold higher ones.
        48: next_seq: u64,
        /// Numbers up to this one are acknowledged, dropped or unaccounted.
        56: released_through: u64,
        /// Numbers up to this one were settled by the consumer. Those from here to `released_through` were dropped, and a
        /// gap has yet to report them.
        64: reported_through: u64,
        /// Numbers whose outcome is unknown, because a cursor was lost. They count as never accepted.
        72: unaccounted: u64,
        /// Records that were settled while there was no directory, so they have no number in it.
        80: unnumbered: u64,
        88: acked: u64,
        ..
        /// True if an orderly end wrote it. Then `next_seq` is exact.
        clean: bool,
        dropped: Counts,
        /// The part of `dropped` that was not yet reported to the consumer.
        unreported: Counts,
    }
}

/// The result of decoding a cursor file.
#[derive(Debug)]
pub(crate) struct CursorFound {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) condition: CursorCondition,
    /// The slot that holds the newest cursor.
    pub(crate) slot: u64,
    /// True if no slot is readable and one is of a newer version.
    pub(crate) is_newer: bool,
}

impl Cursor {
    /// Returns the offset of a slot. Slots alternate, so that the last synced one stays whole.
    pub(crate) fn offset(slot: u64) -> u64 {
        if is_planted(Mutation::OneCursorSlot) { 0 } else { slot % 2 * SLOT_BYTES as u64 }
    }

    /// Encodes a slot without its unused rest, which readers ignore.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        for (mark, drops) in [(TOTAL, &self.dropped), (UNREPORTED, &self.unreported)] {
            drops.iter().for_each(|(key, count)| put_line(&mut bytes, key, mark, count));
        }
        bytes.truncate(HEAD_BYTES + LINES_MAX * LINE_BYTES);
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        let lines = (bytes.len() - HEAD_BYTES) / LINE_BYTES;
        put(&mut bytes, 10, &(lines as u16).to_le_bytes());
        self.put_fields(&mut bytes);
        bytes[44] = if self.clean { CLEAN } else { 0 };
        let crc = checksum(&bytes);
        put(&mut bytes, 12, &crc.to_le_bytes());
        bytes
    }

    /// Decodes a cursor file.
    pub(crate) fn decode(file: &[u8]) -> CursorFound {
        use CursorCondition::{Fresh, Intact, Lost, OneSlotDamaged};
        let mut slots = file.chunks(SLOT_BYTES).take(2).map(Slot::decode);
        let (first, second) = (slots.next().unwrap_or(Slot::Blank), slots.next().unwrap_or(Slot::Blank));
        let is_newer = matches!(first, Slot::Newer) || matches!(second, Slot::Newer);
        let (cursor, condition, slot) = match (first, second) {
            (Slot::Intact(a), Slot::Intact(b)) if a.generation < b.generation => (Some(b), Intact, 1),
            (Slot::Intact(cursor), Slot::Intact(_)) => (Some(cursor), Intact, 0),
            // In a new file, the second slot was never written.
            (Slot::Intact(cursor), Slot::Blank) if cursor.generation == 1 => (Some(cursor), Intact, 0),
            (Slot::Intact(cursor), _) => (Some(cursor), OneSlotDamaged, 0),
            (_, Slot::Intact(cursor)) => (Some(cursor), OneSlotDamaged, 1),
            (Slot::Blank, Slot::Blank) => (None, Fresh, 1),
            _ => (None, Lost, 1),
        };
        CursorFound { is_newer: is_newer && cursor.is_none(), cursor, condition, slot }
    }

    /// Returns whether the counts add up, which [`Stats`](crate::Stats) relies on.
    pub(crate) fn is_balanced(&self) -> bool {
        self.dropped.live() + self.unreported.live() == 0
            && self.unaccounted + self.acked + self.dropped.total() == self.released_through + self.unnumbered
            && self.unreported.total() == self.released_through - self.reported_through
            && self.released_through < self.next_seq
    }

    fn is_possible(&self) -> bool {
        let numbers = [self.next_seq, self.unaccounted, self.unnumbered, self.acked, self.generation];
        numbers.iter().all(|number| *number <= SEQ_MAX)
            && self.epoch < u32::MAX / 2
            && self.reported_through <= self.released_through
            && self.released_through <= SEQ_MAX
            && self.is_balanced()
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
        if u32::from_le_bytes(field(bytes, 12)) != checksum(bytes) && !is_planted(Mutation::OneCursorSlot) {
            return Self::Damaged;
        }
        let mut cursor = Cursor { clean: bytes[44] == CLEAN, ..Cursor::of_fields(bytes) };
        for (key, mark, count) in super::lines(&bytes[HEAD_BYTES..]).take(LINES_MAX) {
            let drops = if mark == UNREPORTED { &mut cursor.unreported } else { &mut cursor.dropped };
            drops.add(key, count);
        }
        let is_believed = cursor.is_possible() || is_planted(Mutation::OneCursorSlot);
        if is_believed { Self::Intact(cursor) } else { Self::Damaged }
    }
}

/// Computes the checksum of the used part without the checksum's own four bytes.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}
