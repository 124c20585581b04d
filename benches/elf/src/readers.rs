//! The readers: ours in its modes, a hand-written one, and the peers as their documentation shows them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use memmap2::Mmap;
use zastava_elf::{BuildId, ElfReader, Extent, build_id, build_id_trusted, open_trusted};

/// A build-id, or that there is none; `None` for a failure.
type Found = Option<Option<Vec<u8>>>;

pub struct Reader {
    pub name: &'static str,
    /// Whether it looks for an id at all.
    pub finds: bool,
    /// What it finds.
    pub read: fn(&Path) -> Found,
    /// The same without copying the answer, for measuring.
    pub answer: fn(&Path) -> Option<()>,
}

/// What the ratios are to.
pub const REFERENCE: &str = "hand-written";

macro_rules! reader {
    ($name:literal, $finds:literal, $read:expr) => {
        Reader {
            name: $name,
            finds: $finds,
            read: |path| {
                fn bytes(id: impl AsRef<[u8]>) -> Vec<u8> {
                    id.as_ref().to_vec()
                }
                $read(path).map(|id| id.map(bytes))
            },
            answer: |path| std::hint::black_box($read(path)).map(drop),
        }
    };
}

pub const READERS: [Reader; 16] = [
    reader!("zastava, trusted path", true, |path: &Path| ours(build_id_trusted(path))),
    reader!("zastava, any path", true, |path: &Path| ours(build_id(path))),
    reader!("zastava, trusted, id read again", true, confirmed),
    reader!("zastava, trusted, all facts", true, |path: &Path| scan(path, Extent::Table)),
    reader!("zastava, trusted, both tables", true, |path: &Path| scan(path, Extent::Everything)),
    reader!("zastava, trusted, facts + htlhash", true, hashed),
    reader!("floor: open and close", false, |path: &Path| File::open(path).ok().map(|_| None::<Id>)),
    reader!("hand-written", true, hand_written),
    reader!("object low level, mmap", true, |path: &Path| mapped(path, object_notes)),
    reader!("object build_id, mmap", true, |path: &Path| mapped(path, object_build_id)),
    reader!("object build_id, ReadCache", true, object_cached),
    reader!("elf, mmap", true, |path: &Path| mapped(path, elf_notes)),
    reader!("elf, stream", true, elf_stream),
    reader!("goblin, mmap", true, |path: &Path| mapped(path, goblin_notes)),
    reader!("symbolic, mmap", true, |path: &Path| mapped(path, symbolic_code_id)),
    reader!("blazesym", true, |path: &Path| {
        blazesym::helper::read_elf_build_id(path).ok().map(|id| id.map(|id| Id::new(&id)))
    }),
];

/// An id on the stack, so that no reader pays for a copy on the heap.
#[derive(Clone, Copy)]
pub struct Id(usize, [u8; 96]);

impl Id {
    fn new(id: &[u8]) -> Self {
        let mut bytes = [0; 96];
        let len = id.len().min(bytes.len());
        bytes[..len].copy_from_slice(&id[..len]);
        Self(len, bytes)
    }
}

impl AsRef<[u8]> for Id {
    fn as_ref(&self) -> &[u8] {
        &self.1[..self.0]
    }
}

fn ours(answer: Result<Option<BuildId>, zastava_elf::Error>) -> Option<Option<Id>> {
    answer.ok().map(|id| id.map(|id| Id::new(id.as_bytes())))
}

fn scan(path: &Path, extent: Extent) -> Option<Option<Id>> {
    let file = open_trusted(path).ok()?;
    ours(ElfReader::new().through(extent).identity(&file).map(|identity| identity.build_id))
}

fn confirmed(path: &Path) -> Option<Option<Id>> {
    ours(zastava_elf::build_id_of(open_trusted(path).ok()?))
}

/// With the length from `fstat`.
fn hashed(path: &Path) -> Option<Option<Id>> {
    let file = File::from(open_trusted(path).ok()?);
    let len = file.metadata().ok()?.len();
    let (identity, hash) = ElfReader::new().identity_and_hash(&file, len);
    std::hint::black_box(hash.ok()?);
    ours(identity.map(|identity| identity.build_id))
}

/// What one would write for one's own machine: open, one read of 4 KiB, close; 64 bits, little-endian, segments
/// in the head. Falls back to a slow and simple way for the rest, so that it gives the same answers.
fn hand_written(path: &Path) -> Option<Option<Id>> {
    let file = File::open(path).ok()?;
    let mut head = [0; 4096];
    let len = file.read_at(&mut head, 0).ok()?;
    let head = &head[..len];
    match in_head(head) {
        Some(id) => Some(Some(id)),
        None => in_sections(&file, head),
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    let mut word = [0; 8];
    word[..N].copy_from_slice(field);
    Some(u64::from_le_bytes(word))
}

fn in_head(head: &[u8]) -> Option<Id> {
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, count) = (word::<8>(head, 32)? as usize, word::<2>(head, 56)? as usize);
    for entry in head.get(table..)?.chunks_exact(56).take(count) {
        if word::<4>(entry, 0)? != 4 {
            continue;
        }
        let (offset, bytes) = (word::<8>(entry, 8)? as usize, word::<8>(entry, 32)? as usize);
        let Some(notes) = head.get(offset..).and_then(|rest| rest.get(..bytes)) else { continue };
        if let Some(id) = in_notes(notes, word::<8>(entry, 48)? == 8) {
            return Some(id);
        }
    }
    None
}

fn in_notes(mut notes: &[u8], by_eight: bool) -> Option<Id> {
    let pad = |len: usize| if by_eight { len.next_multiple_of(8) } else { len.next_multiple_of(4) };
    loop {
        let (name, descriptor) = (word::<4>(notes, 0)? as usize, word::<4>(notes, 4)? as usize);
        let at = pad(12 + name);
        if word::<4>(notes, 8)? == 3 && notes.get(12..12 + name)? == b"GNU\0" {
            return Some(Id::new(notes.get(at..at + descriptor)?));
        }
        notes = notes.get(pad(at + descriptor)..)?;
    }
}

fn in_sections(file: &File, head: &[u8]) -> Option<Option<Id>> {
    let (table, count) = (word::<8>(head, 40)?, word::<2>(head, 60)? as usize);
    let mut headers = [0; 64 * 128];
    let len = file.read_at(&mut headers, table).ok()?;
    for entry in headers[..len].chunks_exact(64).take(count) {
        if word::<4>(entry, 4)? != 7 {
            continue;
        }
        let mut notes = [0; 4096];
        let bytes = (word::<8>(entry, 32)? as usize).min(notes.len());
        let len = file.read_at(&mut notes[..bytes], word::<8>(entry, 24)?).ok()?;
        if let Some(id) = in_notes(&notes[..len], word::<8>(entry, 48)? == 8) {
            return Some(Some(id));
        }
    }
    Some(None)
}

fn mapped(path: &Path, find: fn(&[u8]) -> Option<Option<Id>>) -> Option<Option<Id>> {
    let file = File::open(path).ok()?;
    #[expect(unsafe_code, reason = "what the peers are used with; the files of the machine stay as they are")]
    let map = unsafe { Mmap::map(&file) }.ok()?;
    find(&map)
}

fn object_build_id(data: &[u8]) -> Option<Option<Id>> {
    use object::Object as _;
    let file = object::File::parse(data).ok()?;
    Some(file.build_id().ok()?.map(Id::new))
}

fn object_cached(path: &Path) -> Option<Option<Id>> {
    use object::Object as _;
    let cache = object::ReadCache::new(File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    Some(file.build_id().ok()?.map(Id::new))
}

fn object_notes(data: &[u8]) -> Option<Option<Id>> {
    match data.get(4)? {
        1 => object_notes_of::<object::elf::FileHeader32<object::Endianness>>(data),
        _ => object_notes_of::<object::elf::FileHeader64<object::Endianness>>(data),
    }
}

fn object_notes_of<H: object::read::elf::FileHeader<Endian = object::Endianness>>(
    data: &[u8],
) -> Option<Option<Id>> {
    use object::read::elf::{ProgramHeader as _, SectionHeader as _};
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let first = |mut notes: object::read::elf::NoteIterator<'_, H>| {
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(endian) == object::elf::NT_GNU_BUILD_ID {
                return Some(Id::new(note.desc()));
            }
        }
        None
    };
    let segments = header.program_headers(endian, data).ok()?.iter();
    let mut segments = segments.filter_map(|segment| segment.notes(endian, data).ok().flatten());
    if let Some(id) = segments.find_map(first) {
        return Some(Some(id));
    }
    let sections = header.section_headers(endian, data).ok()?.iter();
    let mut sections = sections.filter_map(|section| section.notes(endian, data).ok().flatten());
    Some(sections.find_map(first))
}

fn elf_id(note: &elf::note::Note<'_>) -> Option<Id> {
    match note {
        elf::note::Note::GnuBuildId(id) => Some(Id::new(id.0)),
        _ => None,
    }
}

fn elf_notes(data: &[u8]) -> Option<Option<Id>> {
    let file = elf::ElfBytes::<elf::endian::AnyEndian>::minimal_parse(data).ok()?;
    for segment in file.segments().into_iter().flatten().filter(|s| s.p_type == elf::abi::PT_NOTE) {
        if let Some(id) = file.segment_data_as_notes(&segment).ok()?.find_map(|note| elf_id(&note)) {
            return Some(Some(id));
        }
    }
    for section in file.section_headers().into_iter().flatten().filter(|s| s.sh_type == elf::abi::SHT_NOTE) {
        if let Some(id) = file.section_data_as_notes(&section).ok()?.find_map(|note| elf_id(&note)) {
            return Some(Some(id));
        }
    }
    Some(None)
}

fn elf_stream(path: &Path) -> Option<Option<Id>> {
    let mut file = elf::ElfStream::<elf::endian::AnyEndian, _>::open_stream(File::open(path).ok()?).ok()?;
    let segments: Vec<_> =
        file.segments().iter().filter(|s| s.p_type == elf::abi::PT_NOTE).copied().collect();
    for segment in segments {
        if let Some(id) = file.segment_data_as_notes(&segment).ok()?.find_map(|note| elf_id(&note)) {
            return Some(Some(id));
        }
    }
    let sections: Vec<_> =
        file.section_headers().iter().filter(|s| s.sh_type == elf::abi::SHT_NOTE).copied().collect();
    for section in sections {
        if let Some(id) = file.section_data_as_notes(&section).ok()?.find_map(|note| elf_id(&note)) {
            return Some(Some(id));
        }
    }
    Some(None)
}

fn goblin_notes(data: &[u8]) -> Option<Option<Id>> {
    let file = goblin::elf::Elf::parse(data).ok()?;
    let notes = file.iter_note_headers(data).into_iter().flatten();
    let notes = notes.chain(file.iter_note_sections(data, None).into_iter().flatten());
    let mut ids = notes.flatten().filter(|note| note.name == "GNU" && note.n_type == 3);
    Some(ids.next().map(|note| Id::new(note.desc)))
}

fn symbolic_code_id(data: &[u8]) -> Option<Option<Id>> {
    let file = symbolic_debuginfo::elf::ElfObject::parse(data).ok()?;
    Some(file.code_id().map(|id| {
        let text = id.as_str().as_bytes();
        let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
        let mut bytes = [0; 96];
        let pairs = text.chunks_exact(2).take(bytes.len());
        let len = pairs.len();
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Id(len, bytes)
    }))
}
