//! The accounting: what was observed, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;
use zastava_buffer::{DropReason, Stats};
use zastava_core::contract::EventKind;

use super::stored::{from_number, kind_name};
use crate::losses::{LossCounts, Losses};

/// Events that Scanner refused for good. They were sent, and have a metric of their own.
const DEAD_LETTER: &str = "dead_letter";

/// What became of every event since the program started. Events that an earlier run left in the buffer
/// count as observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Accounting {
    /// Events that were made or found in the buffer.
    pub observed: u64,
    /// Events that Scanner took.
    pub delivered: u64,
    /// Events that Scanner already had.
    pub duplicate: u64,
    /// Events that wait, on disk or in memory.
    pub buffered: u64,
    /// Events that are lost, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Accounting {
    /// Whether `observed = delivered + duplicate + buffered + dropped`.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.observed == self.delivered + self.duplicate + self.buffered + dropped
    }
}

/// The counts that the buffer does not keep.
#[derive(Debug, Default)]
pub(super) struct Counts {
    delivered: u64,
    duplicate: u64,
    dead_letters: BTreeMap<Option<EventKind>, u64>,
    /// Events that never reached the buffer.
    refused: BTreeMap<(&'static str, Option<EventKind>), u64>,
    /// Changes that never became events.
    changes: Losses,
    /// The losses that [`Counts::new_losses`] returned so far.
    reported: Lost,
}

/// By reason and kind, as the metric's labels have them.
type Lost = BTreeMap<(String, &'static str), u64>;

impl Counts {
    /// With the changes that are lost elsewhere.
    pub(super) fn new(changes: Losses) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Scanner took events, and had `duplicate` others already.
    pub(super) fn taken(&mut self, delivered: u64, duplicate: u64) {
        self.delivered += delivered;
        self.duplicate += duplicate;
    }

    pub(super) fn dead_lettered(&mut self, kind: Option<EventKind>, count: u64) {
        *self.dead_letters.entry(kind).or_default() += count;
    }

    /// The buffer did not take an event.
    pub(super) fn refused(&mut self, reason: &'static str, kind: Option<EventKind>) {
        *self.refused.entry((reason, kind)).or_default() += 1;
    }

    pub(super) fn accounting(&self, stats: &Stats) -> Accounting {
        let changes = self.changes.counts();
        let lost = changes.values().sum::<u64>();
        let mut dropped = BTreeMap::new();
        for ((reason, _), count) in self.losses(stats, &changes) {
            *dropped.entry(reason).or_default() += count;
        }
        let before = stats.acked_before + stats.dropped_before.total();
        Accounting {
            observed: stats.accepted - before + self.refused.values().sum::<u64>() + lost,
            delivered: self.delivered,
            duplicate: self.duplicate,
            buffered: stats.pending,
            dropped,
        }
    }

    /// The losses since the last call, without dead letters.
    pub(super) fn new_losses(&mut self, stats: &Stats) -> Vec<(String, &'static str, u64)> {
        let mut losses = self.losses(stats, &self.changes.counts());
        losses.retain(|(reason, _), _| reason != DEAD_LETTER);
        let new = losses.iter().filter_map(|((reason, kind), count)| {
            let before = self.reported.get(&(reason.clone(), *kind)).copied().unwrap_or(0);
            (*count > before).then(|| (reason.clone(), *kind, count - before))
        });
        let new = new.collect();
        self.reported = losses;
        new
    }

    /// Every loss since the start.
    fn losses(&self, stats: &Stats, changes: &LossCounts) -> Lost {
        let of_buffer = stats.dropped.iter().map(|(kind, reason, count)| {
            let new = count.saturating_sub(stats.dropped_before.count(kind, reason));
            (reason_name(reason), kind.and_then(from_number), new)
        });
        let refused =
            self.refused.iter().map(|((reason, kind), count)| ((*reason).to_owned(), *kind, *count));
        let dead = self.dead_letters.iter().map(|(kind, count)| (DEAD_LETTER.to_owned(), *kind, *count));
        let changes = changes.iter();
        let changes =
            changes.map(|((reason, kind), count)| (reason.as_str().to_owned(), Some(*kind), *count));
        let lost = of_buffer.chain(refused).chain(dead).chain(changes);
        let mut losses = BTreeMap::new();
        for (reason, kind, count) in lost.filter(|(.., count)| *count > 0) {
            *losses.entry((reason, kind_name(kind))).or_default() += count;
        }
        losses
    }
}

/// The value of the metric's label `reason`.
fn reason_name(reason: DropReason) -> String {
    match reason {
        DropReason::Evicted => "evicted".to_owned(),
        DropReason::CapLowered => "cap_lowered".to_owned(),
        DropReason::Corrupt => "corrupt".to_owned(),
        DropReason::Missing => "missing".to_owned(),
        DropReason::MemoryFull => "memory_full".to_owned(),
        DropReason::UnreadableVersion => "unreadable_version".to_owned(),
        // Reasons of a newer release.
        other => format!("{other:?}").to_ascii_lowercase(),
    }
}
