//! Counts of records by kind and drop reason. Every loss is counted here.

use std::collections::BTreeMap;

use crate::drop_reason::DropReason;
use crate::kind::Kind;

/// The kind of a record, if it is known, and why the record was dropped, if it was.
pub(crate) type CountKey = (Option<Kind>, Option<DropReason>);

/// Counts of records by kind and drop reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<CountKey, u64>);

impl Counts {
    /// Bound on the pairs of a known kind and a reason. Further pairs are counted without their kind. A slot of the cursor
    /// has room for this many pairs twice, in the totals and in a gap, and for the reasons without a kind.
    const PAIRS_MAX: usize = 110;

    pub(crate) fn of(key: CountKey, count: u64) -> Self {
        let mut counts = Self::default();
        counts.add(key, count);
        counts
    }

    pub(crate) fn add(&mut self, (kind, reason): CountKey, count: u64) {
        if let Some(known) = self.0.get_mut(&(kind, reason)) {
            *known += count;
        } else if count > 0 {
            let pairs = || self.0.keys().filter(|(kind, reason)| kind.is_some() && reason.is_some()).count();
            let keeps_kind = reason.is_none() || pairs() < Self::PAIRS_MAX;
            *self.0.entry((kind.filter(|_| keeps_kind), reason)).or_insert(0) += count;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(key, count)| self.add(key, count));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CountKey, u64)> + '_ {
        self.0.iter().map(|(&key, &count)| (key, count))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns how many of the records can still be delivered.
    pub(crate) fn live(&self) -> u64 {
        self.iter().filter(|((_, reason), _)| reason.is_none()).map(|(_, count)| count).sum()
    }

    /// Returns the counts of dropped records only.
    pub(crate) fn drops(&self) -> Self {
        Self(self.iter().filter(|((_, reason), _)| reason.is_some()).collect())
    }

    /// Marks all live records as dropped for this reason. Returns how many there were.
    pub(crate) fn drop_all(&mut self, reason: DropReason) -> u64 {
        let live = self.live();
        for ((kind, lost), count) in std::mem::take(&mut self.0) {
            self.add((kind, lost.or(Some(reason))), count);
        }
        live
    }

    /// Removes `count` records and returns what they were. Prefers records with this key, then dropped records of the
    /// same kind, then any others: the sum must stay right whatever happened to a file.
    pub(crate) fn take(&mut self, key: CountKey, count: u64) -> Self {
        let others: Vec<CountKey> = self.0.keys().copied().collect();
        let same_kind =
            others.iter().filter(|(kind, reason)| kind.is_some() && *kind == key.0 && reason.is_some());
        let mut taken = Self::default();
        for key in [&key].into_iter().chain(same_kind).chain(&others) {
            let part = self.take_of(*key, count - taken.total());
            taken.add(*key, part);
        }
        taken
    }

    /// Removes at most `max` records with this key. Returns how many were removed.
    pub(crate) fn take_of(&mut self, key: CountKey, max: u64) -> u64 {
        let Some(count) = self.0.get_mut(&key) else { return 0 };
        let taken = max.min(*count);
        *count -= taken;
        if *count == 0 {
            self.0.remove(&key);
        }
        taken
    }
}

/// Counts of lost records by kind and reason. The kind is `None` if no intact header named it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropCounts(pub(crate) Counts);

impl DropCounts {
    /// Returns every count above zero.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Kind>, DropReason, u64)> + '_ {
        self.0.iter().filter_map(|((kind, reason), count)| Some((kind, reason?, count)))
    }

    /// Returns the count of one kind and reason.
    #[must_use]
    pub fn count(&self, kind: Option<Kind>, reason: DropReason) -> u64 {
        self.0.0.get(&(kind, Some(reason))).copied().unwrap_or(0)
    }

    /// Returns the sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total()
    }
}
