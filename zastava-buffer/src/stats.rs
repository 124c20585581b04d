//! The books, as others see them.

use std::fmt;
use std::io;
use std::time::Instant;

use crate::counts::DropCounts;
use crate::error::Error;

/// One consistent snapshot. In each one
/// [`accepted`](Self::accepted) = [`acked`](Self::acked) + [`pending`](Self::pending) +
/// [`dropped`](Self::dropped).
///
/// The counts belong to the directory: they are stored with it and go on after a restart. Only
/// [`refused`](Self::refused) belongs to this opening. If the cursor file is lost the counts begin
/// anew with what is still in the directory. `Display` prints a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that got a number.
    pub accepted: u64,
    /// Records that the consumer acknowledged before anything else happened to them.
    pub acked: u64,
    /// Records waiting to be acknowledged.
    pub pending: u64,
    /// Part of `pending` in memory: not yet written, or not yet synced.
    pub in_memory: u64,
    /// Records accepted and lost. Damage counts as soon as it is known.
    pub dropped: DropCounts,
    /// Part of `acked` from before this opening of the directory.
    pub acked_before: u64,
    /// Part of `dropped` from before this opening, or found lost by it.
    pub dropped_before: DropCounts,
    /// Pushes that were refused since this opening; never part of `accepted`.
    pub refused: DropCounts,
    /// Disk space in use and reserved, in blocks of 4 KiB per file, with the files set aside.
    pub disk_bytes: u64,
    /// Part of `disk_bytes` that is set aside.
    pub set_aside_bytes: u64,
    /// Memory in use for records, of at most [`BufferOptions::ring_bytes`](crate::BufferOptions::ring_bytes).
    pub ring_bytes: usize,
}

impl Stats {
    /// Whether the law holds. It does.
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

/// What was found when the directory was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Why the buffer works in memory only, if it does.
    pub unavailable: Option<StorageProblem>,
    /// Records found and not yet acknowledged, after any eviction by this opening.
    pub pending: u64,
    /// Records found lost beyond what was acknowledged: damaged, missing or of a newer version.
    pub lost: u64,
    /// Records dropped by this opening because the cap had been lowered.
    pub evicted: u64,
    /// The last end was not orderly. Records accepted in the last moments, at most
    /// [`BufferOptions::ring_bytes`](crate::BufferOptions::ring_bytes) of them, may have been lost without a trace.
    pub unclean: bool,
    /// The newest segment ends in an unfinished record. Normal after a crash; it is not counted as lost.
    pub torn_tail: bool,
    /// Segments whose header was damaged. Their records are read with the help of the file name.
    pub damaged_headers: u64,
    /// Segments of another directory, by what their headers say. They are left alone.
    pub foreign_files: u64,
    /// Files set aside, also by earlier openings.
    pub set_aside_files: u64,
    /// How the cursor file was found; of the worst class.
    pub cursor: CursorCondition,
}

/// How the cursor file was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CursorCondition {
    /// The directory is new.
    #[default]
    Fresh,
    /// Read without complaint.
    Intact,
    /// One of the two slots is damaged. The last acknowledgements may be forgotten, so their
    /// records come again.
    OneSlotDamaged,
    /// Missing, unreadable or of a newer version. Everything in the directory comes again, and the
    /// counts begin anew.
    Lost,
}

/// How the storage does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageHealth {
    /// Records reach the disk.
    #[default]
    Ok,
    /// Records stay in memory; the storage is tried again, first after 50 ms, at the latest every second.
    Degraded {
        /// What is wrong.
        cause: StorageProblem,
        /// Since when.
        since: Instant,
    },
}

/// What is wrong with the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageProblem {
    /// No space, quota or file size left.
    NoSpace,
    /// The file system or the directory cannot be written.
    ReadOnly,
    /// Another process holds the directory.
    Locked,
    /// Somebody removed or replaced the directory, or a file in it, while it was open. Opening it anew helps.
    Gone,
    /// Anything else.
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
