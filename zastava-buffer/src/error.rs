//! Everything that can go wrong, for the operator who has to look at it.

use std::io;
use std::path::{Path, PathBuf};

use crate::stats::DropReason;

/// Why a call on a [`Buffer`](crate::Buffer) failed. A failed push accepted nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is out of its range, which may depend on the other options.
    #[error("option {option} is {value}, allowed is {min} to {max}")]
    InvalidOption {
        /// Name of the field of [`Options`](crate::Options).
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
    #[error("{} is locked by another buffer", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file operation failed. Nothing was accepted; a full disk ends up here, see
    /// [`is_storage_full`](Self::is_storage_full).
    #[error("cannot {operation} {}", path.display())]
    Storage {
        /// What was attempted: a verb such as `write`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record alone is refused; the queue is as before.
    #[error("a record of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// Length of the record.
        bytes: u64,
        /// [`Options::record_bytes_max`](crate::Options::record_bytes_max).
        bytes_max: u64,
    },
    /// Files set aside fill the cap, and they are never deleted: move them out of `aside/` and open
    /// again.
    #[error("no room for a record: files set aside take {set_aside_bytes} of {bytes_max} bytes")]
    NoRoom {
        /// Bytes of the files in `aside/`, in blocks of 4 KiB.
        set_aside_bytes: u64,
        /// [`Options::bytes_max`](crate::Options::bytes_max).
        bytes_max: u64,
    },
    /// Only what was delivered can be acknowledged.
    #[error("record {seq} was not delivered yet, the last one was {delivered_through}")]
    NotDelivered {
        /// The number given to `ack_through`.
        seq: u64,
        /// The last number delivered.
        delivered_through: u64,
    },
    /// An earlier sync of these records failed, and the kernel may have dropped their pages, or
    /// their file is gone. What can still be read can be acknowledged, but no sync vouches for it.
    #[error("records {first_seq} to {last_seq} may not survive a power cut")]
    NotDurable {
        /// First record in doubt.
        first_seq: u64,
        /// Last record in doubt.
        last_seq: u64,
    },
}

impl Error {
    /// True when space, quota or a file size limit is exhausted: the same push can succeed later.
    pub fn is_storage_full(&self) -> bool {
        let Self::Storage { source, .. } = self else { return false };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    pub(crate) fn storage(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Storage { operation, path: path.to_owned(), source }
    }

    /// The reason under which a refused push is counted.
    pub(crate) fn refusal(&self) -> DropReason {
        match self {
            Self::TooLarge { .. } => DropReason::TooLarge,
            Self::NoRoom { .. } => DropReason::NoRoom,
            _ => DropReason::WriteFailed,
        }
    }
}
