//! Against `object`'s own tables and notes, held to our policy: segments, then sections, exact owner, 1 to 64
//! bytes. Where `object` meets no error, it has our answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader as _, SectionHeader as _};
use zastava_elf::{ElfReader, ErrorKind, Limits};

fuzz_target!(|data: &[u8]| {
    let wanted = match data.get(4) {
        Some(1) => reference::<FileHeader32<Endianness>>(data),
        Some(2) => reference::<FileHeader64<Endianness>>(data),
        _ => return,
    };
    let Ok(wanted) = wanted else { return };
    let mut limits = Limits::DEFAULT;
    limits.notes = u32::MAX;
    limits.note_area_bytes = u32::MAX;
    limits.bytes = u32::MAX;
    limits.preads = u32::MAX;
    match ElfReader::with_limits(limits).identity(data) {
        Ok(identity) => assert_eq!(identity.build_id.map(|id| id.as_bytes().to_vec()), wanted),
        Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::IdTooLong) => {}
        Err(error) => panic!("{error} where object finds {wanted:?}"),
    }
});

fn reference<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> object::read::Result<Option<Vec<u8>>> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Some(notes) = segment.notes(endian, data)?
            && let Some(id) = first::<H>(notes, endian)?
        {
            return Ok(Some(id));
        }
    }
    for section in header.section_headers(endian, data)? {
        if let Some(notes) = section.notes(endian, data)?
            && let Some(id) = first::<H>(notes, endian)?
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn first<H: FileHeader<Endian = Endianness>>(
    mut notes: NoteIterator<'_, H>,
    endian: Endianness,
) -> object::read::Result<Option<Vec<u8>>> {
    while let Some(note) = notes.next()? {
        let is_id = note.name_bytes() == b"GNU\0" && note.n_type(endian) == NT_GNU_BUILD_ID;
        if is_id && (1..=64).contains(&note.desc().len()) {
            return Ok(Some(note.desc().to_vec()));
        }
    }
    Ok(None)
}
