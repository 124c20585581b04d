//! The error type.

use std::io;
use std::path::{Path, PathBuf};

use crate::entry::RefusalReason;

/// Why a call on a buffer failed.
///
/// After opening, problems of the disk are not errors of a call. They are reported as
/// [`StorageHealth`](crate::StorageHealth).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of its range. The range may depend on other options.
    #[error("option {option} is {value}; it must be from {min} to {max}")]
    InvalidOption {
        /// The name of the field of [`BufferOptions`](crate::BufferOptions).
        option: &'static str,
        /// The value that was given.
        value: u64,
        /// The smallest allowed value.
        min: u64,
        /// The largest allowed value.
        max: u64,
    },
    /// Another buffer, in this process or another, holds the directory. The kernel releases the lock when that process
    /// ends, however it ends. The lock file never needs to be deleted.
    #[error("{} is locked by another buffer ({holder})", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into the lock file. For people only.
        holder: String,
    },
    /// A file operation failed while opening.
    #[error("cannot {operation} {}", path.display())]
    Storage {
        /// The operation, as a verb such as `create`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The thread that does the file operations could not be started.
    #[error("cannot start the buffer's thread")]
    Thread(#[source] io::Error),
    /// The push was refused.
    #[error("the record was refused: {0:?}")]
    Refused(RefusalReason),
    /// The record was dropped and counted before it reached the requested durability.
    #[error("record {seq} was dropped from memory before it was durable")]
    Dropped {
        /// The record's number.
        seq: u64,
    },
    /// The requested durability cannot be reached now: the storage is [degraded](crate::StorageHealth) or full, the
    /// buffer is closed, or [`Commit::Never`](crate::Commit::Never) rules it out. The records stay accepted.
    #[error("the storage cannot make records as durable as requested now")]
    NotDurable,
}

impl Error {
    pub(crate) fn storage(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Storage { operation, path: path.to_owned(), source }
    }
}
