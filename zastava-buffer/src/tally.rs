//! Counts by what became of records. Every loss goes through here, with its kind and its reason.

use std::collections::BTreeMap;

use crate::entry::Kind;

/// Why a record was dropped, or refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Dropped from the disk, oldest first, to stay within the cap or because the disk is full.
    Evicted,
    /// Dropped at open, because the cap had been lowered below what the directory held.
    CapLowered,
    /// Its bytes are there but fail their checksum.
    Corrupt,
    /// Its number was given, but there are no bytes for it: it was in memory when the process died, or a
    /// file is gone or was cut short.
    Missing,
    /// Written by a newer version of this crate, in a form this one does not know.
    UnreadableVersion,
    /// Dropped from memory, oldest first, because the disk took records too slowly or not at all.
    MemoryFull,
    /// Refused: longer than [`Config::record_bytes_max`](crate::Config::record_bytes_max).
    TooLarge,
    /// Refused: no room, and the kind's policy is not to drop others.
    Full,
    /// Refused: the buffer was closed.
    Closed,
    /// A reason that only a newer version of this crate knows, by its number in the file.
    Other(u8),
}

/// The number of each reason in files. Numbers are never used again for something else.
const CODES: [(DropReason, u8); 9] = [
    (DropReason::Evicted, 1),
    (DropReason::CapLowered, 2),
    (DropReason::Corrupt, 3),
    (DropReason::Missing, 4),
    (DropReason::UnreadableVersion, 5),
    (DropReason::MemoryFull, 6),
    (DropReason::TooLarge, 16),
    (DropReason::Full, 17),
    (DropReason::Closed, 18),
];

impl DropReason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            known => CODES.iter().find(|(reason, _)| *reason == known).map_or(u8::MAX, |(_, code)| *code),
        }
    }

    pub(crate) fn from_code(code: u8) -> Self {
        CODES.iter().find(|(_, known)| *known == code).map_or(Self::Other(code), |(reason, _)| *reason)
    }
}

/// What is known of one number that is not settled: its kind, and why it cannot be delivered, unless it can.
pub(crate) type Fate = (Option<Kind>, Option<DropReason>);

/// Counts of numbers by fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<Fate, u64>);

impl Tally {
    /// So many pairs of a known kind and a reason are told apart; a further one is counted without its kind. The
    /// cursor file has room for these, once in the totals and once in a gap, and for reasons without a kind.
    const PAIRS_MAX: usize = 110;

    pub(crate) fn of(fate: Fate, count: u64) -> Self {
        let mut tally = Self::default();
        tally.add(fate, count);
        tally
    }

    pub(crate) fn add(&mut self, (kind, reason): Fate, count: u64) {
        if let Some(known) = self.0.get_mut(&(kind, reason)) {
            *known += count;
        } else if count > 0 {
            let pairs = || self.0.keys().filter(|(kind, reason)| kind.is_some() && reason.is_some()).count();
            let told_apart = reason.is_none() || pairs() < Self::PAIRS_MAX;
            *self.0.entry((kind.filter(|_| told_apart), reason)).or_insert(0) += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(fate, count)| self.add(fate, count));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fate, u64)> + '_ {
        self.0.iter().map(|(&fate, &count)| (fate, count))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many can still be delivered.
    pub(crate) fn live(&self) -> u64 {
        self.iter().filter(|((_, reason), _)| reason.is_none()).map(|(_, count)| count).sum()
    }

    /// What is lost of it.
    pub(crate) fn drops(&self) -> Self {
        Self(self.iter().filter(|((_, reason), _)| reason.is_some()).collect())
    }

    /// All that is live is dropped for this reason; how many that were.
    pub(crate) fn drop_all(&mut self, reason: DropReason) -> u64 {
        let live = self.live();
        for ((kind, lost), count) in std::mem::take(&mut self.0) {
            self.add((kind, lost.or(Some(reason))), count);
        }
        live
    }

    /// Takes out `count` and says what they were: of this fate if there are such, else what became of that
    /// kind meanwhile, else anything, since the sum must stay right whatever happened to a file.
    pub(crate) fn take(&mut self, fate: Fate, count: u64) -> Self {
        let others: Vec<Fate> = self.0.keys().copied().collect();
        let same_kind =
            others.iter().filter(|(kind, reason)| kind.is_some() && *kind == fate.0 && reason.is_some());
        let mut taken = Self::default();
        for fate in [&fate].into_iter().chain(same_kind).chain(&others) {
            let part = self.take_of(*fate, count - taken.total());
            taken.add(*fate, part);
        }
        taken
    }

    /// Takes out what there is of this fate, at most so many; how many that were.
    pub(crate) fn take_of(&mut self, fate: Fate, max: u64) -> u64 {
        let Some(count) = self.0.get_mut(&fate) else { return 0 };
        let taken = max.min(*count);
        *count -= taken;
        if *count == 0 {
            self.0.remove(&fate);
        }
        taken
    }
}

/// Counts by kind and reason. The kind is `None` where no intact header told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(pub(crate) Tally);

impl Drops {
    /// Every count that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Kind>, DropReason, u64)> + '_ {
        self.0.iter().filter_map(|((kind, reason), count)| Some((kind, reason?, count)))
    }

    /// The count of one pair.
    #[must_use]
    pub fn count(&self, kind: Option<Kind>, reason: DropReason) -> u64 {
        self.0.0.get(&(kind, Some(reason))).copied().unwrap_or(0)
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total()
    }
}
