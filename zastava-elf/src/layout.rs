//! The headers of the format, from bytes to the few fields that matter. Pure: no reading, no policy.
//!
//! `object` supplies the layouts. They are byte arrays inside, so they can be cast from any offset.

use object::elf::{
    DataEncoding, FileClass, FileHeader32, FileHeader64, FileVersion, NoteHeader32, ProgramHeader32,
    ProgramHeader64, SectionHeader32, SectionHeader64,
};
use object::elf::{ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, ELFMAG, EV_CURRENT};
use object::elf::{
    NT_GNU_BUILD_ID, NT_GO_BUILD_ID, PN_XNUM, PT_NOTE, SHF_COMPRESSED, SHT_NOTE, SHT_PROGBITS,
};
use object::pod::from_bytes;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endian as _, Endianness};

use crate::error::{Error, Place};
use crate::header::{Class, Endian, Header};

fn order(endian: Endian) -> Endianness {
    match endian {
        Endian::Little => Endianness::Little,
        Endian::Big => Endianness::Big,
    }
}

/// What the file header says about the two tables.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) segments: Table,
    pub(crate) sections: Table,
    /// Which section holds the names of sections; `SHN_XINDEX` when section 0 tells.
    pub(crate) names: u16,
}

/// A header table as declared. The specification gives offset 0 to a table that is not there.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) offset: u64,
    pub(crate) count: Count,
    /// Whether the declared size of an entry is the one of the class.
    pub(crate) entry_size_fits: bool,
    pub(crate) entry_bytes: usize,
}

/// The number of entries of a table.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Here(u64),
    /// Did not fit into the file header and is told by section 0.
    InSectionZero,
}

impl Layout {
    /// The largest file header.
    pub(crate) const HEADER_BYTES_MAX: usize = size_of::<FileHeader64<Endianness>>();
    /// The largest entry of either table.
    pub(crate) const ENTRY_BYTES_MAX: usize = size_of::<SectionHeader64<Endianness>>();

    /// From the beginning of the file, with at least `HEADER_BYTES_MAX` bytes where it has them.
    pub(crate) fn parse<E>(head: &[u8]) -> Result<Self, Error<E>> {
        if !head.starts_with(&ELFMAG) {
            return Err(Error::NotElf);
        }
        let &[_, _, _, _, class, data, version, ..] = head else {
            return Err(Error::Truncated { place: Place::Header });
        };
        let endian = match DataEncoding(data) {
            ELFDATA2LSB => Endian::Little,
            ELFDATA2MSB => Endian::Big,
            _ => return Err(Error::Unsupported),
        };
        if FileVersion(version) != EV_CURRENT {
            return Err(Error::Unsupported);
        }
        match FileClass(class) {
            ELFCLASS32 => tables::<FileHeader32<Endianness>>(head, Class::Elf32, endian),
            ELFCLASS64 => tables::<FileHeader64<Endianness>>(head, Class::Elf64, endian),
            _ => return Err(Error::Unsupported),
        }
        .ok_or(Error::Truncated { place: Place::Header })
    }

    /// The notes that a program header leads to, if that is what it does.
    pub(crate) fn note_segment(&self, entry: &[u8]) -> Option<NoteArea> {
        match self.header.class {
            Class::Elf32 => note_segment::<ProgramHeader32<Endianness>>(entry, self.header.endian),
            Class::Elf64 => note_segment::<ProgramHeader64<Endianness>>(entry, self.header.endian),
        }
    }

    /// The notes that a section header leads to, if that is what it does.
    pub(crate) fn note_section(&self, entry: &[u8]) -> Option<NoteArea> {
        match self.header.class {
            Class::Elf32 => note_section::<SectionHeader32<Endianness>>(entry, self.header.endian),
            Class::Elf64 => note_section::<SectionHeader64<Endianness>>(entry, self.header.endian),
        }
    }

    pub(crate) fn is_big(&self) -> bool {
        self.header.endian == Endian::Big
    }

    /// A section header, whatever it is for.
    pub(crate) fn section(&self, entry: &[u8]) -> Option<RawSection> {
        match self.header.class {
            Class::Elf32 => section::<SectionHeader32<Endianness>>(entry, self.header.endian),
            Class::Elf64 => section::<SectionHeader64<Endianness>>(entry, self.header.endian),
        }
    }

    /// The numbers of program headers and of section headers, from section 0.
    pub(crate) fn extended_counts(&self, section_zero: &[u8]) -> Option<(u64, u64)> {
        match self.header.class {
            Class::Elf32 => extended_counts::<SectionHeader32<Endianness>>(section_zero, self.header.endian),
            Class::Elf64 => extended_counts::<SectionHeader64<Endianness>>(section_zero, self.header.endian),
        }
    }
}

fn tables<H: FileHeader<Endian = Endianness>>(head: &[u8], class: Class, endian: Endian) -> Option<Layout> {
    let (header, _) = from_bytes::<H>(head).ok()?;
    let order = order(endian);
    let names = header.e_shstrndx(order).0;
    let segment_bytes = size_of::<H::ProgramHeader>();
    let section_bytes = size_of::<H::SectionHeader>();
    let segments = Table {
        offset: header.e_phoff(order).into(),
        count: match header.e_phnum(order) {
            PN_XNUM => Count::InSectionZero,
            count => Count::Here(count.into()),
        },
        entry_size_fits: usize::from(header.e_phentsize(order)) == segment_bytes,
        entry_bytes: segment_bytes,
    };
    let sections = Table {
        offset: header.e_shoff(order).into(),
        count: match header.e_shnum(order) {
            0 => Count::InSectionZero,
            count => Count::Here(count.into()),
        },
        entry_size_fits: usize::from(header.e_shentsize(order)) == section_bytes,
        entry_bytes: section_bytes,
    };
    let header = Header::new(class, endian, header.e_type(order).0, header.e_machine(order).0);
    Some(Layout { header, segments, sections, names })
}

fn note_segment<P: ProgramHeader<Endian = Endianness>>(entry: &[u8], endian: Endian) -> Option<NoteArea> {
    let (header, _) = from_bytes::<P>(entry).ok()?;
    let order = order(endian);
    (header.p_type(order) == PT_NOTE).then(|| NoteArea {
        offset: header.p_offset(order).into(),
        bytes: header.p_filesz(order).into(),
        padding: Padding::of(header.p_align(order).into()),
        endian,
    })
}

fn note_section<H: SectionHeader<Endian = Endianness>>(entry: &[u8], endian: Endian) -> Option<NoteArea> {
    let (header, _) = from_bytes::<H>(entry).ok()?;
    let order = order(endian);
    (header.sh_type(order) == SHT_NOTE).then(|| NoteArea {
        offset: header.sh_offset(order).into(),
        bytes: header.sh_size(order).into(),
        padding: Padding::of(header.sh_addralign(order).into()),
        endian,
    })
}

fn extended_counts<H: SectionHeader<Endian = Endianness>>(
    entry: &[u8],
    endian: Endian,
) -> Option<(u64, u64)> {
    let (header, _) = from_bytes::<H>(entry).ok()?;
    Some((header.sh_info(order(endian)).into(), header.sh_size(order(endian)).into()))
}

/// The fields of a section header that lead to its name and content.
#[derive(Clone, Copy)]
pub(crate) struct RawSection {
    /// Where its name begins among the names.
    pub(crate) name: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) link: u32,
    /// Of type `SHT_PROGBITS`: has content of its own.
    pub(crate) is_program_data: bool,
    pub(crate) is_compressed: bool,
}

fn section<H: SectionHeader<Endian = Endianness>>(entry: &[u8], endian: Endian) -> Option<RawSection> {
    let (header, _) = from_bytes::<H>(entry).ok()?;
    let order = order(endian);
    Some(RawSection {
        name: header.sh_name(order),
        offset: header.sh_offset(order).into(),
        bytes: header.sh_size(order).into(),
        link: header.sh_link(order),
        is_program_data: header.sh_type(order) == SHT_PROGBITS,
        is_compressed: header.sh_flags(order).contains(SHF_COMPRESSED),
    })
}

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
    /// From `p_align` or `sh_addralign`. Core files have 0 there, Android's note sections 2; above 8
    /// tools disagree, and 4 is what Linux and elfutils read.
    fn of(align: u64) -> Self {
        if align == 8 { Self::Eight } else { Self::Four }
    }

    /// Adds the padding. `offset` is a sum of few 32-bit numbers and cannot overflow.
    pub(crate) fn after(self, offset: u64) -> u64 {
        offset.next_multiple_of(match self {
            Self::Four => 4,
            Self::Eight => 8,
        })
    }
}

/// The three words before a note's owner; 32 bits wide in both classes.
#[derive(Clone, Copy)]
pub(crate) struct RawNote {
    pub(crate) name_bytes: u32,
    pub(crate) descriptor_bytes: u32,
    /// Means nothing without the owner.
    pub(crate) kind: u32,
}

impl RawNote {
    /// The size of these words.
    pub(crate) const BYTES: usize = size_of::<NoteHeader32<Endianness>>();

    pub(crate) fn parse(bytes: &[u8; Self::BYTES], endian: Endian) -> Self {
        let order = order(endian);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            name_bytes: order.read_u32([a, b, c, d]),
            descriptor_bytes: order.read_u32([e, f, g, h]),
            kind: order.read_u32([i, j, k, l]),
        }
    }

    /// What a note of this type holds if its owner is the one told, NUL included.
    pub(crate) fn meaning(self) -> Option<(Fact, [u8; 4])> {
        let fact = match self.kind {
            GNU_BUILD_ID => (Fact::BuildId, *b"GNU\0"),
            GO_BUILD_ID => (Fact::GoBuildId, *b"Go\0\0"),
            PACKAGE => (Fact::Package, *b"FDO\0"),
            _ => return None,
        };
        (self.name_bytes == 4).then_some(fact)
    }
}

const GNU_BUILD_ID: u32 = NT_GNU_BUILD_ID.0;
const GO_BUILD_ID: u32 = NT_GO_BUILD_ID.0;
/// `NT_FDO_PACKAGING_METADATA`
const PACKAGE: u32 = 0xcafe_1a7e;

/// The facts that notes hold.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fact {
    BuildId,
    GoBuildId,
    Package,
}
