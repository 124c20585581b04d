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

/// Counts by kind and reason. The kind is `None` where no intact header told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: BTreeMap<(Option<Kind>, DropReason), u64>,
}

impl Drops {
    /// So many pairs of a known kind and a reason are told apart; a further one is counted without its kind. The
    /// cursor file has room for these, once in the totals and once in a gap, and for reasons without a kind.
    const PAIRS_MAX: usize = 110;

    /// Every count that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Kind>, DropReason, u64)> + '_ {
        self.counts.iter().map(|(&(kind, reason), &count)| (kind, reason, count))
    }

    /// The count of one pair.
    #[must_use]
    pub fn count(&self, kind: Option<Kind>, reason: DropReason) -> u64 {
        self.counts.get(&(kind, reason)).copied().unwrap_or(0)
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn add(&mut self, kind: Option<Kind>, reason: DropReason, count: u64) {
        if count == 0 {
            return;
        }
        let pairs = || self.counts.keys().filter(|(kind, _)| kind.is_some()).count();
        let told_apart =
            kind.is_none() || self.counts.contains_key(&(kind, reason)) || pairs() < Self::PAIRS_MAX;
        let kind = kind.filter(|_| told_apart);
        *self.counts.entry((kind, reason)).or_insert(0) += count;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(kind, reason, count)| self.add(kind, reason, count));
    }

    /// Takes out up to `count`, of this pair if there are such, else of any.
    pub(crate) fn take(&mut self, kind: Option<Kind>, reason: DropReason, mut count: u64) {
        let pairs = [(kind, reason)].into_iter().chain(self.counts.keys().copied().collect::<Vec<_>>());
        for pair in pairs {
            count -= take_from(&mut self.counts, pair, count);
        }
    }
}

/// What is known of one record that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Live(Kind),
    Lost(Option<Kind>, DropReason),
}

/// Counts by fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    counts: BTreeMap<Fate, u64>,
}

impl Tally {
    pub(crate) fn of(fate: Fate, count: u64) -> Self {
        let mut tally = Self::default();
        tally.add(fate, count);
        tally
    }

    pub(crate) fn add(&mut self, fate: Fate, count: u64) {
        if count > 0 {
            *self.counts.entry(fate).or_insert(0) += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(fate, count)| self.add(fate, count));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fate, u64)> + '_ {
        self.counts.iter().map(|(&fate, &count)| (fate, count))
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.counts.get(&fate).copied().unwrap_or(0)
    }

    /// How many can still be delivered.
    pub(crate) fn live(&self) -> u64 {
        self.iter().filter(|(fate, _)| matches!(fate, Fate::Live(_))).map(|(_, count)| count).sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// All that is live is dropped for this reason; how many that were.
    pub(crate) fn drop_all(&mut self, reason: DropReason) -> u64 {
        let mut dropped = 0;
        for (fate, count) in std::mem::take(&mut self.counts) {
            match fate {
                Fate::Live(kind) => {
                    dropped += count;
                    self.add(Fate::Lost(Some(kind), reason), count);
                }
                lost => self.add(lost, count),
            }
        }
        dropped
    }

    pub(crate) fn drops(&self) -> Drops {
        let mut drops = Drops::default();
        for (fate, count) in self.iter() {
            if let Fate::Lost(kind, reason) = fate {
                drops.add(kind, reason, count);
            }
        }
        drops
    }

    /// Takes out one of this fate, if there is one.
    pub(crate) fn take_one(&mut self, fate: Fate) -> bool {
        take_from(&mut self.counts, fate, 1) == 1
    }

    /// Takes out `count` and says what they were: of this fate if there are such, else what became of that
    /// kind meanwhile, else anything, since the sum must stay right whatever happened to a file.
    pub(crate) fn take(&mut self, fate: Fate, count: u64) -> Self {
        let kind = match fate {
            Fate::Live(kind) => Some(kind),
            Fate::Lost(kind, _) => kind,
        };
        let same_kind = |other: &Fate| matches!(other, Fate::Lost(of, _) if *of == kind && kind.is_some());
        let others: Vec<Fate> = self.counts.keys().copied().collect();
        let mut taken = Self::default();
        let order = [fate].into_iter();
        let order = order.chain(others.iter().copied().filter(same_kind)).chain(others.iter().copied());
        for fate in order {
            let left = count - taken.total();
            if left == 0 {
                break;
            }
            taken.add(fate, take_from(&mut self.counts, fate, left));
        }
        taken
    }

    /// Forgets all but `count`.
    pub(crate) fn keep(&mut self, count: u64) {
        while let Some((&fate, _)) = self.counts.first_key_value().filter(|_| self.total() > count) {
            let surplus = self.total() - count;
            take_from(&mut self.counts, fate, surplus);
        }
    }
}

fn take_from<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, max: u64) -> u64 {
    let Some(count) = counts.get_mut(&key) else { return 0 };
    let taken = max.min(*count);
    *count -= taken;
    if *count == 0 {
        counts.remove(&key);
    }
    taken
}
