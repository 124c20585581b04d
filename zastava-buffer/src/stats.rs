//! What a buffer reports: counts, what opening found, and the health of the storage.

use std::fmt;
use std::io;
use std::time::Instant;

use crate::counts::DropCounts;
use crate::error::Error;

/// A consistent snapshot of all counts. In every snapshot
/// [`accepted`](Self::accepted) = [`acked`](Self::acked) + [`pending`](Self::pending) +
/// [`dropped`](Self::dropped).
///
/// The counts are stored in the directory and continue after a restart, except [`refused`](Self::refused), which counts
/// since this opening. If the cursor file is lost, the counts start again from what is in the directory. `Display`
/// prints a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that were accepted.
    pub accepted: u64,
    /// Records that the consumer acknowledged before they were dropped.
    pub acked: u64,
    /// Records that wait to be acknowledged.
    pub pending: u64,
    /// The part of `pending` that is in memory: not yet written, or not yet synced.
    pub in_memory: u64,
    /// Records that were accepted and lost. Damage counts once it is found.
    pub dropped: DropCounts,
    /// The part of `acked` from before this opening.
    pub acked_before: u64,
    /// The part of `dropped` from before this opening, or that this opening found.
    pub dropped_before: DropCounts,
    /// Pushes refused since this opening. Not part of `accepted`.
    pub refused: DropCounts,
    /// Disk space of all files with their reservations, in blocks of 4 KiB, including the files set aside.
    pub disk_bytes: u64,
    /// The part of `disk_bytes` that is set aside.
    pub set_aside_bytes: u64,
    /// Memory used for records, at most [`BufferOptions::ring_bytes`](crate::BufferOptions::ring_bytes).
    pub ring_bytes: usize,
}

impl Stats {
    /// Returns whether `accepted = acked + pending + dropped`. It always holds; tests assert it.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.acked + self.pending + self.dropped.total()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [("accepted", self.accepted), ("acked", self.acked), ("pending", self.pending)];
        rows.iter().try_for_each(|(name, count)| writeln!(f, "{name:<32}{count:>12}"))?;
        for (name, drops) in [("dropped", &self.dropped), ("refused", &self.refused)] {
            for (kind, reason, count) in drops.iter() {
                let kind = kind.map_or_else(|| "?".to_owned(), |kind| kind.0.to_string());
                writeln!(f, "{:<32}{count:>12}", format!("{name} kind {kind} {reason:?}"))?;
            }
        }
        writeln!(f, "{:<32}{:>12}", "disk bytes", self.disk_bytes)?;
        write!(f, "{:<32}{:>12}", "memory bytes", self.ring_bytes)
    }
}

/// What opening found in the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Why the buffer works in memory only; `None` if it does not.
    pub unavailable: Option<StorageProblem>,
    /// Records that wait to be acknowledged, after any eviction by this opening.
    pub pending: u64,
    /// Unacknowledged records that this opening found lost: damaged, missing, or of a newer version.
    pub lost: u64,
    /// Records that this opening dropped because the cap is lower than what the directory held.
    pub evicted: u64,
    /// True if the buffer was not closed. The last records that were accepted, at most
    /// [`BufferOptions::ring_bytes`](crate::BufferOptions::ring_bytes), may then be lost without being counted.
    pub unclean: bool,
    /// True if the newest segment ends in an unfinished record. This is normal after a crash and not counted as lost.
    pub torn_tail: bool,
    /// Segments with a damaged header. Their records are still read, since the file name repeats the header.
    pub damaged_headers: u64,
    /// Segments whose header names another buffer. They are left alone.
    pub foreign_files: u64,
    /// Files that are set aside, including those of earlier openings.
    pub set_aside_files: u64,
    /// The condition of the cursor files; the worst one of all classes.
    pub cursor: CursorCondition,
}

/// The condition in which opening found a cursor file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CursorCondition {
    /// The directory is new.
    #[default]
    Fresh,
    /// The file is whole.
    Intact,
    /// One of the two slots is damaged. The last acknowledgements may be lost, and their records are then delivered
    /// again.
    OneSlotDamaged,
    /// The file is missing, unreadable or of a newer version. All records in the directory are delivered again, and the
    /// counts start again.
    Lost,
}

/// The health of the storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageHealth {
    /// Records reach the disk.
    #[default]
    Ok,
    /// Records stay in memory. The storage is tried again after 50 ms at first, and at least once a second.
    Degraded {
        /// The problem.
        cause: StorageProblem,
        /// When the problem began.
        since: Instant,
    },
}

/// What is wrong with the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageProblem {
    /// The disk, the quota or the file size limit is full.
    NoSpace,
    /// The file system or the directory is not writable.
    ReadOnly,
    /// Another buffer holds the directory.
    Locked,
    /// The directory or a file in it was removed or replaced while it was open. Open the buffer again.
    Gone,
    /// Any other error.
    Io,
}

impl StorageProblem {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoSpace
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly,
            io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Io,
        }
    }

    pub(crate) fn of_open(error: &Error) -> Self {
        match error {
            Error::Locked { .. } => Self::Locked,
            Error::Storage { source, .. } => Self::of(source),
            _ => Self::Io,
        }
    }
}
