//! Why there is no answer: what was wrong, and in which part.

use core::convert::Infallible;
use core::fmt;

use crate::errno::Errno;
use crate::limits::Limit;
use crate::part::Part;

/// Why there is no answer. Small and `Copy`. It holds no path, which the caller knows.
///
/// The message does not contain the cause, which is the [`source`](core::error::Error::source). `E` is the error
/// of the [`ReadAt`](crate::ReadAt) that was read: [`Errno`] for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E = Errno> {
    /// The file is empty or does not begin with the ELF magic number.
    NotElf,
    /// The ELF header has an unknown class, byte order or version.
    Unsupported,
    /// A header or a note contradicts itself.
    Malformed {
        /// Which part.
        part: Part,
    },
    /// The file ends inside something that it declares.
    Truncated {
        /// Which part.
        part: Part,
    },
    /// A GNU build-id is longer than [`BuildId::BYTES_MAX`](crate::BuildId::BYTES_MAX).
    IdTooLong {
        /// Where the id is.
        part: Part,
        /// The length of the id.
        bytes: u32,
    },
    /// The search ended at one of the [`Limits`](crate::Limits). There may be an id further on.
    Limit {
        /// Which limit.
        limit: Limit,
        /// The part that was being read.
        part: Part,
    },
    /// The build-id had changed when it was read again: somebody writes to the file.
    Changed {
        /// Where the id is.
        part: Part,
    },
    /// The path leads to a directory, FIFO, device or socket. It was not opened.
    NotRegular,
    /// The path of a mapped file leads to another file by now.
    Replaced,
    /// Opening or reading failed.
    Io {
        /// The part that was being read.
        part: Part,
        /// The error of the source.
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
            Self::Replaced => ErrorKind::Replaced,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// The part that the error is about.
    #[must_use]
    pub fn part(&self) -> Part {
        match *self {
            Self::NotRegular | Self::Replaced => Part::File,
            Self::NotElf | Self::Unsupported => Part::Header,
            Self::Malformed { part }
            | Self::Truncated { part }
            | Self::Changed { part }
            | Self::IdTooLong { part, .. }
            | Self::Limit { part, .. }
            | Self::Io { part, .. } => part,
        }
    }

    /// Whether it is pointless to search the rest of the file: the source fails, or a budget that all parts share
    /// is spent.
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
            Self::Malformed { part: part @ Part::Maps } => write!(f, "cannot parse the {part}"),
            Self::Malformed { part } => write!(f, "malformed ELF {part}"),
            Self::Truncated { part } => write!(f, "ELF {part} is cut off by the end of the file"),
            Self::IdTooLong { part, bytes } => {
                write!(f, "build-id of {bytes} bytes in ELF {part} is too long")
            }
            Self::Limit { limit, part } => write!(f, "limit on {limit} reached in ELF {part}"),
            Self::Changed { part } => write!(f, "build-id in ELF {part} changed while it was read"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Replaced => f.write_str("the path leads to another file now"),
            Self::Io { part: Part::File, .. } => f.write_str("cannot open ELF file"),
            Self::Io { part: part @ (Part::Procfs | Part::Process | Part::Maps), .. } => {
                write!(f, "cannot read the {part}")
            }
            Self::Io { part, .. } => write!(f, "cannot read ELF {part}"),
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
            Error::Malformed { part } => Self::Malformed { part },
            Error::Truncated { part } => Self::Truncated { part },
            Error::IdTooLong { part, bytes } => Self::IdTooLong { part, bytes },
            Error::Limit { limit, part } => Self::Limit { limit, part },
            Error::Changed { part } => Self::Changed { part },
            Error::NotRegular => Self::NotRegular,
            Error::Replaced => Self::Replaced,
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
    /// [`Error::Replaced`]
    Replaced,
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
            Self::Replaced => "replaced",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
