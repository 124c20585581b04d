//! The work that one search may do, and the work that it did.

use core::fmt;

/// The bounds of one search. The first one that is reached ends that part of the search, and "no build-id" becomes
/// [`Error::Limit`](crate::Error::Limit).
///
/// The second read of an id (see [`ElfReader::confirming`](crate::ElfReader::confirming)) and the hash of a file's
/// tail have a budget of the same size each. Whatever a search has spent, an id that was found is returned.
///
/// The defaults leave room: the programs and libraries of a whole distribution need one to four reads, 15 program
/// headers and 74 section headers. Object files compiled with one section for each function can need more reads
/// or section headers:
///
/// ```
/// use zastava_elf::{ElfReader, Limits};
///
/// let mut limits = Limits::DEFAULT;
/// limits.section_headers = 65_536;
/// limits.preads = 2_048;
/// limits.bytes = 8 << 20;
/// let reader = ElfReader::with_limits(limits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Calls of [`ReadAt::read_at`](crate::ReadAt::read_at); each asks for at most 4 KiB.
    pub preads: u32,
    /// Bytes that these calls return together.
    pub bytes: u32,
    /// Bytes of one segment or section, from its start, in which notes are read.
    pub note_area_bytes: u32,
    /// Notes read, in all segments and sections together.
    pub notes: u32,
    /// Program headers read.
    pub program_headers: u32,
    /// Section headers read.
    pub section_headers: u32,
}

impl Limits {
    /// 16 reads, 256 KiB, 64 KiB a note area, 1024 notes, 1024 program and 1024 section headers.
    pub const DEFAULT: Self = Self {
        preads: 16,
        bytes: 256 << 10,
        note_area_bytes: 64 << 10,
        notes: 1024,
        program_headers: 1024,
        section_headers: 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::preads`]
    Preads,
    /// [`Limits::bytes`]
    Bytes,
    /// [`Limits::note_area_bytes`]
    NoteAreaBytes,
    /// [`Limits::notes`]
    Notes,
    /// [`Limits::program_headers`]
    ProgramHeaders,
    /// [`Limits::section_headers`]
    SectionHeaders,
    /// 32 MiB of text in the `maps` of a process.
    MapsBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preads => "reads",
            Self::Bytes => "bytes read",
            Self::NoteAreaBytes => "bytes of one note area",
            Self::Notes => "notes",
            Self::ProgramHeaders => "program headers",
            Self::SectionHeaders => "section headers",
            Self::MapsBytes => "bytes of mappings",
        })
    }
}

/// The work that a search did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Calls of [`ReadAt::read_at`](crate::ReadAt::read_at).
    pub preads: u32,
    /// Bytes that they returned.
    pub bytes: u32,
    /// Notes read.
    pub notes: u32,
}

impl Cost {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            preads: self.preads.saturating_add(other.preads),
            bytes: self.bytes.saturating_add(other.bytes),
            notes: self.notes.saturating_add(other.notes),
        }
    }
}
