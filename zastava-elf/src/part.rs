//! The part of a file, or of `/proc`, that an error is about.

use core::fmt;

/// What was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The file as a whole: finding and opening it.
    File,
    /// The file header.
    Header,
    /// The program header table.
    SegmentTable,
    /// The notes of the segment with this index.
    Segment(u32),
    /// The section header table.
    SectionTable,
    /// The notes of the section with this index.
    Section(u32),
    /// Notes without an ELF file around them.
    Notes,
    /// The last bytes of the file.
    Tail,
    /// A mounted `/proc`.
    Procfs,
    /// The directory of a process in `/proc`.
    Process,
    /// The mappings of a process.
    Maps,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Header => f.write_str("header"),
            Self::SegmentTable => f.write_str("program header table"),
            Self::Segment(index) => write!(f, "note segment {index}"),
            Self::SectionTable => f.write_str("section header table"),
            Self::Section(index) => write!(f, "note section {index}"),
            Self::Notes => f.write_str("notes"),
            Self::Tail => f.write_str("tail"),
            Self::Procfs => f.write_str("procfs"),
            Self::Process => f.write_str("process"),
            Self::Maps => f.write_str("mappings of the process"),
        }
    }
}
