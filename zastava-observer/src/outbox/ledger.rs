//! The books: what was observed, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;
use zastava_buffer::{DropReason, Stats};
use zastava_core::contract::EventKind;

use super::{from_number, kind_name};

/// Events that Scanner refused for good. They were sent, and have a metric of their own.
pub(super) const DEAD_LETTER: &str = "dead_letter";

/// What became of every event since the program started; events that an earlier run left in the
/// buffer count as observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Accounting {
    /// Events that were made or found in the buffer.
    pub observed: u64,
    /// Events that Scanner took.
    pub delivered: u64,
    /// Events that Scanner had already.
    pub duplicate: u64,
    /// Events that wait, on disk or in memory.
    pub buffered: u64,
    /// Events that are lost, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Accounting {
    /// Whether every observed event is in exactly one of the other places.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.observed == self.delivered + self.duplicate + self.buffered + dropped
    }
}

/// What the buffer's own counts do not tell.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) delivered: u64,
    pub(super) duplicate: u64,
    /// Losses outside the buffer, by reason and kind. Dead letters were in it, all others never.
    lost: BTreeMap<(&'static str, Option<EventKind>), u64>,
    /// What of all losses was told by [`Ledger::new_losses`].
    told: BTreeMap<(String, &'static str), u64>,
}

impl Ledger {
    pub(super) fn lose(&mut self, reason: &'static str, kind: Option<EventKind>, count: u64) {
        *self.lost.entry((reason, kind)).or_default() += count;
    }

    pub(super) fn accounting(&self, stats: &Stats) -> Accounting {
        let mut dropped = BTreeMap::new();
        for ((reason, _), count) in self.losses(stats) {
            *dropped.entry(reason).or_default() += count;
        }
        let not_accepted = self.lost.iter().filter(|((reason, _), _)| *reason != DEAD_LETTER);
        let before = stats.acked_before + stats.dropped_before.total();
        Accounting {
            observed: stats.accepted - before + not_accepted.map(|(_, count)| count).sum::<u64>(),
            delivered: self.delivered,
            duplicate: self.duplicate,
            buffered: stats.pending,
            dropped,
        }
    }

    /// Events dropped since the last call, by reason and kind.
    pub(super) fn new_losses(&mut self, stats: &Stats) -> Vec<(String, &'static str, u64)> {
        let mut new = Vec::new();
        for ((reason, kind), count) in self.losses(stats) {
            let told = self.told.entry((reason.clone(), kind)).or_default();
            let since = count.saturating_sub(*told);
            *told = count;
            if since > 0 && reason != DEAD_LETTER {
                new.push((reason, kind, since));
            }
        }
        new
    }

    /// Every loss since the start, by reason and kind.
    fn losses(&self, stats: &Stats) -> BTreeMap<(String, &'static str), u64> {
        let of_buffer = stats.dropped.iter().map(|(kind, reason, count)| {
            let new = count.saturating_sub(stats.dropped_before.count(kind, reason));
            (reason_name(reason), kind.and_then(from_number), new)
        });
        let others = self.lost.iter().map(|((reason, kind), count)| ((*reason).to_owned(), *kind, *count));
        let mut losses = BTreeMap::new();
        for (reason, kind, count) in of_buffer.chain(others).filter(|(.., count)| *count > 0) {
            *losses.entry((reason, kind_name(kind))).or_default() += count;
        }
        losses
    }
}

/// A word for the metric's label.
fn reason_name(reason: DropReason) -> String {
    match reason {
        DropReason::Evicted => "evicted".to_owned(),
        DropReason::CapLowered => "cap_lowered".to_owned(),
        DropReason::Corrupt => "corrupt".to_owned(),
        DropReason::Missing => "missing".to_owned(),
        DropReason::MemoryFull => "memory_full".to_owned(),
        DropReason::UnreadableVersion => "unreadable_version".to_owned(),
        // Reasons of refusal are counted on this side, and others only a newer release knows.
        other => format!("{other:?}").to_ascii_lowercase(),
    }
}
