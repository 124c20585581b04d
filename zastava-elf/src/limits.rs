//! How much work one question may cost, and how much it did.

use core::fmt;

/// Bounds on one scan. Whichever is reached first ends that part of the search, and an answer of "none"
/// becomes [`Error::Limit`](crate::Error::Limit).
///
/// The defaults leave room: executables and libraries of a whole distribution need one to four reads,
/// 15 program headers and 74 section headers. Object files compiled with one section per function can
/// exceed the reads or the section headers.
///
/// ```
/// use zastava_elf::{Limits, Scanner};
///
/// let mut limits = Limits::DEFAULT;
/// limits.section_headers = 65_536;
/// limits.preads = 2_048;
/// limits.bytes = 8 << 20;
/// let patient = Scanner::with_limits(limits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Calls of [`Source::read_at`](crate::Source::read_at); each asks for at most 4 KiB.
    pub preads: u32,
    /// Bytes that these calls return, together.
    pub bytes: u32,
    /// Bytes of one segment or section, counted from its start, in which notes are looked at.
    pub note_area_bytes: u32,
    /// Notes looked at, in all segments and sections together.
    pub notes: u32,
    /// Program headers looked at.
    pub program_headers: u32,
    /// Section headers looked at.
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
    /// 32 MiB of a process's list of mappings.
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

/// What a scan cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Calls of [`Source::read_at`](crate::Source::read_at).
    pub preads: u32,
    /// Bytes that they returned.
    pub bytes: u32,
    /// Notes looked at.
    pub notes: u32,
}
