//! The layout of the headers, from bytes to the few fields that matter. Nothing here reads or decides.
//!
//! `object` supplies the layouts. They consist of byte arrays, so they can be cast from any offset.

use object::Endianness;
use object::elf::{
    DataEncoding, FileClass, FileHeader32, FileHeader64, FileVersion, ProgramHeader32, ProgramHeader64,
    SectionHeader32, SectionHeader64,
};
use object::elf::{ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, ELFMAG, EV_CURRENT};
use object::elf::{PN_XNUM, PT_NOTE, SHF_COMPRESSED, SHT_NOTE, SHT_PROGBITS};
use object::pod::from_bytes;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use crate::error::Error;
use crate::header::{Class, Endian, Header};
use crate::note::{NoteArea, Padding};
use crate::part::Part;

/// What the file header says about the two tables.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) segments: Table,
    pub(crate) sections: Table,
    /// The index of the section that holds the names of sections, or `SHN_XINDEX` if it is in section 0.
    pub(crate) names: u16,
}

/// A header table as declared. A file without the table has offset 0.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) offset: u64,
    pub(crate) count: Count,
    /// Whether the declared size of an entry is that of the class.
    pub(crate) entry_size_fits: bool,
    pub(crate) entry_bytes: usize,
}

/// The number of entries of a table.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Here(u64),
    /// It did not fit into the file header and is in section 0.
    InSectionZero,
}

impl Layout {
    /// The largest file header.
    pub(crate) const HEADER_BYTES_MAX: usize = size_of::<FileHeader64<Endianness>>();
    /// The largest entry of either table.
    pub(crate) const ENTRY_BYTES_MAX: usize = size_of::<SectionHeader64<Endianness>>();

    /// From the beginning of the file, with at least `HEADER_BYTES_MAX` bytes if the file has them.
    pub(crate) fn parse<E>(head: &[u8]) -> Result<Self, Error<E>> {
        if !head.starts_with(&ELFMAG) {
            return Err(Error::NotElf);
        }
        let &[_, _, _, _, class, data, version, ..] = head else {
            return Err(Error::Truncated { part: Part::Header });
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
        .ok_or(Error::Truncated { part: Part::Header })
    }

    /// The notes that a program header leads to, if it is for notes.
    pub(crate) fn note_segment(&self, entry: &[u8]) -> Option<NoteArea> {
        match self.header.class {
            Class::Elf32 => note_segment::<ProgramHeader32<Endianness>>(entry, self.header.endian),
            Class::Elf64 => note_segment::<ProgramHeader64<Endianness>>(entry, self.header.endian),
        }
    }

    /// The notes that a section header leads to, if it is for notes.
    pub(crate) fn note_section(&self, entry: &[u8]) -> Option<NoteArea> {
        match self.header.class {
            Class::Elf32 => note_section::<SectionHeader32<Endianness>>(entry, self.header.endian),
            Class::Elf64 => note_section::<SectionHeader64<Endianness>>(entry, self.header.endian),
        }
    }

    /// A section header, whatever it is for.
    pub(crate) fn raw_section(&self, entry: &[u8]) -> Option<RawSection> {
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
    let order = endian.order();
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
    let order = endian.order();
    (header.p_type(order) == PT_NOTE).then(|| NoteArea {
        offset: header.p_offset(order).into(),
        bytes: header.p_filesz(order).into(),
        padding: Padding::of(header.p_align(order).into()),
        endian,
    })
}

fn note_section<H: SectionHeader<Endian = Endianness>>(entry: &[u8], endian: Endian) -> Option<NoteArea> {
    let (header, _) = from_bytes::<H>(entry).ok()?;
    let order = endian.order();
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
    let order = endian.order();
    Some((header.sh_info(order).into(), header.sh_size(order).into()))
}

/// The fields of a section header that lead to the section's name and content.
#[derive(Clone, Copy)]
pub(crate) struct RawSection {
    /// Where its name begins in the section of names.
    pub(crate) name: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) link: u32,
    /// Of type `SHT_PROGBITS`.
    pub(crate) is_program_data: bool,
    pub(crate) is_compressed: bool,
}

fn section<H: SectionHeader<Endian = Endianness>>(entry: &[u8], endian: Endian) -> Option<RawSection> {
    let (header, _) = from_bytes::<H>(entry).ok()?;
    let order = endian.order();
    Some(RawSection {
        name: header.sh_name(order),
        offset: header.sh_offset(order).into(),
        bytes: header.sh_size(order).into(),
        link: header.sh_link(order),
        is_program_data: header.sh_type(order) == SHT_PROGBITS,
        is_compressed: header.sh_flags(order).contains(SHF_COMPRESSED),
    })
}
