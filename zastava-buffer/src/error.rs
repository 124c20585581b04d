//! Everything that can go wrong, for the operator who has to look at it.

use std::io;
use std::path::{Path, PathBuf};

use crate::entry::RefusalReason;

/// Why a call on a buffer failed. Trouble with the disk after opening is not an error of a call but the buffer's
/// [`StorageHealth`](crate::StorageHealth).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range, which may depend on the other settings.
    #[error("setting {option} is {value}, allowed is {min} to {max}")]
    InvalidOption {
        /// Name of the field of [`BufferOptions`](crate::BufferOptions).
        option: &'static str,
        /// The value given.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// Another buffer, here or in another process, holds the directory. The kernel frees the lock
    /// when that process ends, however it ends; the lock file never needs deleting.
    #[error("{} is locked by another buffer ({holder})", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote of itself; for people only.
        holder: String,
    },
    /// A file operation failed while opening.
    #[error("cannot {operation} {}", path.display())]
    Storage {
        /// What was attempted: a verb such as `create`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that does the file operations cannot be started.
    #[error("cannot start the thread of the buffer")]
    Thread(#[source] io::Error),
    /// The record was not accepted.
    #[error("the record was refused: {0:?}")]
    Refused(RefusalReason),
    /// The record was dropped, and counted, before it reached the durability asked for.
    #[error("record {seq} was dropped from memory before it was safe")]
    Dropped {
        /// Its number.
        seq: u64,
    },
    /// The durability asked for cannot be had now: the storage is [degraded](crate::StorageHealth) or full, the buffer is
    /// closed, or [`Commit::Never`](crate::Commit::Never) excludes it. The records stay accepted.
    #[error("records are not as safe as asked for, since the storage cannot take them now")]
    NotDurable,
}

impl Error {
    pub(crate) fn storage(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Storage { operation, path: path.to_owned(), source }
    }
}
