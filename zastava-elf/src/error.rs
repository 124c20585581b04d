//! Why there is no answer: what was wrong, and in which part of the file.

use core::convert::Infallible;
use core::fmt;

use crate::limits::Limit;

/// Why a build-id could not be told. Small and `Copy`; carries no path, which the caller knows.
///
/// `E` is the error of the [`Source`](crate::Source) that was read: [`Errno`] for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E = Errno> {
    /// Empty, or does not begin with the ELF magic number.
    NotElf,
    /// An ELF header of a class, byte order or version that does not exist (yet).
    Unsupported,
    /// A header or a note contradicts itself.
    Malformed {
        /// The part that does.
        place: Place,
    },
    /// The source ends inside something that the file declares.
    Truncated {
        /// The part that is cut off.
        place: Place,
    },
    /// A note of owner GNU and type 3 whose descriptor is longer than any build-id in use.
    IdTooLong {
        /// Where the note is.
        place: Place,
        /// The length of the descriptor.
        bytes: u32,
    },
    /// The search ended at one of the [`Limits`](crate::Limits); there may be an id further on.
    Limit {
        /// Which.
        limit: Limit,
        /// The part that was being read.
        place: Place,
    },
    /// The build-id was another when it was read again: somebody writes to the file.
    Changed {
        /// Where the id is.
        place: Place,
    },
    /// The path leads to a directory, FIFO, device or socket. It was not opened.
    NotRegular,
    /// Opening or reading failed.
    Io {
        /// The part that was being read.
        place: Place,
        /// What the source said.
        error: E,
    },
}

impl<E> Error<E> {
    /// The class of the error, for counting and for deciding.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotElf => ErrorKind::NotElf,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Malformed { .. } => ErrorKind::Malformed,
            Self::Truncated { .. } => ErrorKind::Truncated,
            Self::IdTooLong { .. } => ErrorKind::IdTooLong,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Changed { .. } => ErrorKind::Changed,
            Self::NotRegular => ErrorKind::NotRegular,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// The part of the file that the error is about.
    #[must_use]
    pub fn place(&self) -> Place {
        match *self {
            Self::NotRegular => Place::Open,
            Self::NotElf | Self::Unsupported => Place::Header,
            Self::Malformed { place }
            | Self::Truncated { place }
            | Self::Changed { place }
            | Self::IdTooLong { place, .. }
            | Self::Limit { place, .. }
            | Self::Io { place, .. } => place,
        }
    }

    /// Whether looking elsewhere in the file is pointless: the source fails, or a budget that all
    /// parts share is spent.
    pub(crate) fn ends_search(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Limit { limit, .. } => matches!(limit, Limit::Preads | Limit::Bytes | Limit::Notes),
            _ => false,
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("not an ELF file"),
            Self::Unsupported => f.write_str("unsupported ELF class, byte order or version"),
            Self::Malformed { place: Place::Maps } => f.write_str("cannot understand the process's mappings"),
            Self::Malformed { place } => write!(f, "malformed ELF {place}"),
            Self::Truncated { place } => write!(f, "ELF {place} is cut off by the end of the file"),
            Self::IdTooLong { place, bytes } => {
                write!(f, "build-id of {bytes} bytes in ELF {place} is too long")
            }
            Self::Limit { limit, place } => write!(f, "limit on {limit} reached in ELF {place}"),
            Self::Changed { place } => write!(f, "build-id in ELF {place} changed while it was read"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Io { place: Place::Open, .. } => f.write_str("cannot open ELF file"),
            Self::Io { place: place @ (Place::Procfs | Place::Process), .. } => {
                write!(f, "cannot read {place}")
            }
            Self::Io { place: Place::Maps, .. } => f.write_str("cannot read the process's mappings"),
            Self::Io { place, .. } => write!(f, "cannot read ELF {place}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<Error<Infallible>> for Error<Errno> {
    fn from(error: Error<Infallible>) -> Self {
        match error {
            Error::NotElf => Self::NotElf,
            Error::Unsupported => Self::Unsupported,
            Error::Malformed { place } => Self::Malformed { place },
            Error::Truncated { place } => Self::Truncated { place },
            Error::IdTooLong { place, bytes } => Self::IdTooLong { place, bytes },
            Error::Limit { limit, place } => Self::Limit { limit, place },
            Error::Changed { place } => Self::Changed { place },
            Error::NotRegular => Self::NotRegular,
            Error::Io { error, .. } => match error {},
        }
    }
}

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::NotElf`]
    NotElf,
    /// [`Error::Unsupported`]
    Unsupported,
    /// [`Error::Malformed`]
    Malformed,
    /// [`Error::Truncated`]
    Truncated,
    /// [`Error::IdTooLong`]
    IdTooLong,
    /// [`Error::Limit`]
    Limit,
    /// [`Error::Changed`]
    Changed,
    /// [`Error::NotRegular`]
    NotRegular,
    /// [`Error::Io`]
    Io,
}

impl ErrorKind {
    /// A name that stays the same from release to release, fit for a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotElf => "not_elf",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::IdTooLong => "id_too_long",
            Self::Limit => "limit",
            Self::Changed => "changed",
            Self::NotRegular => "not_regular",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A part of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Before the first byte: finding and opening the file.
    Open,
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
    /// A process's directory in `/proc`.
    Process,
    /// The list of a process's mappings.
    Maps,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("file"),
            Self::Header => f.write_str("header"),
            Self::SegmentTable => f.write_str("program header table"),
            Self::Segment(index) => write!(f, "note segment {index}"),
            Self::SectionTable => f.write_str("section header table"),
            Self::Section(index) => write!(f, "note section {index}"),
            Self::Notes => f.write_str("notes"),
            Self::Tail => f.write_str("tail"),
            Self::Procfs => f.write_str("procfs"),
            Self::Process => f.write_str("process"),
            Self::Maps => f.write_str("mappings"),
        }
    }
}

/// An error number of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// From the number, as in `std::io::Error::raw_os_error`.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number, such as 13 for `EACCES` on Linux.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }
}

/// In words where the standard library is at hand, else the number alone.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(all(feature = "linux", target_os = "linux"))]
        return std::io::Error::from_raw_os_error(self.0).fmt(f);
        #[cfg(not(all(feature = "linux", target_os = "linux")))]
        write!(f, "os error {}", self.0)
    }
}

impl core::error::Error for Errno {}
