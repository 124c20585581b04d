//! The books: what was accepted, and what became of it.

use std::collections::BTreeMap;

use crate::entry::Kind;

/// Why a record was dropped, or refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Dropped, oldest first, to stay within the cap.
    Evicted,
    /// Dropped at open, because the cap had been lowered below what the directory held.
    CapLowered,
    /// Its bytes are there but fail their checksum.
    Corrupt,
    /// Its number was given, but there are no bytes for it: a file is gone or was cut short.
    Missing,
    /// Written by a newer version of this crate, in a form this one does not know.
    UnreadableVersion,
    /// Refused: longer than [`Options::record_bytes_max`](crate::Options::record_bytes_max).
    TooLarge,
    /// Refused: the storage failed, for example because the disk was full.
    WriteFailed,
    /// Refused: files set aside leave no room within the cap.
    NoRoom,
    /// A reason that only a newer version of this crate knows, by its number in the file.
    Other(u8),
}

impl DropReason {
    /// The number in the file. Numbers are never used again for something else.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Evicted => 1,
            Self::CapLowered => 2,
            Self::Corrupt => 3,
            Self::Missing => 4,
            Self::UnreadableVersion => 5,
            Self::TooLarge => 16,
            Self::WriteFailed => 17,
            Self::NoRoom => 18,
            Self::Other(code) => code,
        }
    }

    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Evicted,
            2 => Self::CapLowered,
            3 => Self::Corrupt,
            4 => Self::Missing,
            5 => Self::UnreadableVersion,
            16 => Self::TooLarge,
            17 => Self::WriteFailed,
            18 => Self::NoRoom,
            code => Self::Other(code),
        }
    }
}

/// Counts by kind and reason. The kind is `None` where no intact header told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: BTreeMap<(Option<Kind>, DropReason), u64>,
}

impl Drops {
    /// So many pairs of a known kind and a reason are told apart; a further one is counted without
    /// its kind. The cursor file has room for these and for ten reasons without a kind.
    const PAIRS_MAX: usize = 240;

    /// Every count that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Kind>, DropReason, u64)> + '_ {
        self.counts.iter().map(|(&(kind, reason), &count)| (kind, reason, count))
    }

    /// The count of one pair.
    pub fn count(&self, kind: Option<Kind>, reason: DropReason) -> u64 {
        self.counts.get(&(kind, reason)).copied().unwrap_or(0)
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn add(&mut self, kind: Option<Kind>, reason: DropReason, count: u64) {
        if count == 0 {
            return;
        }
        let pairs = || self.counts.keys().filter(|(kind, _)| kind.is_some()).count();
        let told_apart = self.counts.contains_key(&(kind, reason)) || pairs() < Self::PAIRS_MAX;
        let kind = kind.filter(|_| told_apart);
        *self.counts.entry((kind, reason)).or_insert(0) += count;
    }
}

/// One consistent snapshot. In each one
/// [`accepted`](Self::accepted) = [`acked`](Self::acked) + [`pending`](Self::pending) +
/// [`dropped`](Self::dropped).
///
/// The counts belong to the directory: they are stored with it and go on after a restart. Only
/// [`refused`](Self::refused) belongs to this opening. If the cursor file is lost the counts begin
/// anew with what is still in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that got a number.
    pub accepted: u64,
    /// Records that the consumer acknowledged before anything else happened to them.
    pub acked: u64,
    /// Records waiting to be acknowledged.
    pub pending: u64,
    /// Records accepted and lost. A damaged record is counted as soon as it is known: at open, or,
    /// when the damage came later, with the acknowledgement of its [`Gap`](crate::Gap).
    pub dropped: Drops,
    /// Pushes that failed since this opening; never part of `accepted`.
    pub refused: Drops,
    /// Number that the next record gets.
    pub next_seq: u64,
    /// Disk space in use, in blocks of 4 KiB per file, with the files set aside.
    pub disk_bytes: u64,
    /// Part of `disk_bytes` in `aside/`.
    pub set_aside_bytes: u64,
    /// The cap, as given in the options.
    pub bytes_max: u64,
}

/// What was found when the directory was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Records found readable and not yet acknowledged, after any eviction by this opening.
    pub pending: u64,
    /// Records found lost beyond what was acknowledged: damaged, missing or of a newer version.
    pub lost: u64,
    /// Records dropped by this opening because the cap had been lowered.
    pub evicted: u64,
    /// The newest segment ends in an unfinished record. Normal after a crash in the middle of a
    /// push, whose caller got no answer; it is not counted as lost.
    pub torn_tail: bool,
    /// Segments whose header was damaged. Their records were read with the help of the file name.
    pub damaged_headers: u64,
    /// Files in `aside/`, also from earlier openings.
    pub set_aside_files: u64,
    /// How the cursor file was found.
    pub cursor: CursorCondition,
}

/// How the cursor file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorCondition {
    /// The directory is new.
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
