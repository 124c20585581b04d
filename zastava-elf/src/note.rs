//! The layout of notes, from bytes to the few fields that matter. Nothing here reads or decides.

use object::Endian as _;
use object::Endianness;
use object::elf::{NT_GNU_BUILD_ID, NT_GO_BUILD_ID, NoteHeader32};

use crate::header::Endian;

/// A run of notes in the file, as a table entry or a caller describes it.
#[derive(Clone, Copy)]
pub(crate) struct NoteArea {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) padding: Padding,
    pub(crate) endian: Endian,
}

/// What descriptors and following notes are aligned to, counted from the start of the area.
#[derive(Clone, Copy)]
pub(crate) enum Padding {
    Four,
    Eight,
}

impl Padding {
    /// From `p_align` or `sh_addralign`. Core files have 0 there, Android's note sections 2. Above 8 tools
    /// disagree; Linux and elfutils read 4.
    pub(crate) fn of(align: u64) -> Self {
        if align == 8 { Self::Eight } else { Self::Four }
    }

    /// Adds the padding. `offset` is a sum of a few 32-bit numbers and cannot overflow.
    pub(crate) fn after(self, offset: u64) -> u64 {
        offset.next_multiple_of(match self {
            Self::Four => 4,
            Self::Eight => 8,
        })
    }
}

/// The three words before a note's owner, 32 bits wide in both classes.
#[derive(Clone, Copy)]
pub(crate) struct RawNote {
    pub(crate) owner_bytes: u32,
    pub(crate) descriptor_bytes: u32,
    /// Has no meaning without the owner.
    note_type: u32,
}

impl RawNote {
    /// The size of these words.
    pub(crate) const BYTES: usize = size_of::<NoteHeader32<Endianness>>();

    pub(crate) fn parse(bytes: &[u8; Self::BYTES], endian: Endian) -> Self {
        let order = endian.order();
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            owner_bytes: order.read_u32([a, b, c, d]),
            descriptor_bytes: order.read_u32([e, f, g, h]),
            note_type: order.read_u32([i, j, k, l]),
        }
    }

    /// What the note holds if its owner is [`NoteKind::owner`].
    pub(crate) fn kind(self) -> Option<NoteKind> {
        let kind = match self.note_type {
            GNU_BUILD_ID => NoteKind::GnuBuildId,
            GO_BUILD_ID => NoteKind::GoBuildId,
            PACKAGE => NoteKind::Package,
            _ => return None,
        };
        (self.owner_bytes as usize == kind.owner().len()).then_some(kind)
    }
}

const GNU_BUILD_ID: u32 = NT_GNU_BUILD_ID.0;
const GO_BUILD_ID: u32 = NT_GO_BUILD_ID.0;
/// `NT_FDO_PACKAGING_METADATA`
const PACKAGE: u32 = 0xcafe_1a7e;

/// The notes that are read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum NoteKind {
    GnuBuildId,
    GoBuildId,
    Package,
}

impl NoteKind {
    /// The owner, NUL included, that makes a note's type mean this.
    pub(crate) fn owner(self) -> [u8; 4] {
        match self {
            Self::GnuBuildId => *b"GNU\0",
            Self::GoBuildId => *b"Go\0\0",
            Self::Package => *b"FDO\0",
        }
    }
}
