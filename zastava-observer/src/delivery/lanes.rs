//! Which of two lanes an event takes to Scanner.
//!
//! The lanes are two classes of the buffer. The *live* lane is sent first and stays short. What does not fit there is the
//! *backlog*. So an event that happens while an hour's backlog is sent overtakes all of it
//! (docs/design/observer.md#how-does-a-live-event-overtake-the-backlog).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use zastava_buffer::{Disk, Store as _, read_all};

use super::stored::StoredEvent;

/// The live lane takes no more. At the least rate that Scanners grant a node, 50 events a second, it is empty after three
/// seconds.
const LIVE_EVENTS_MAX: u64 = 128;
/// The most workloads that the table names. While the backlog holds events of more, every new event joins it.
const WORKLOADS_MAX: usize = 65_536;
/// A larger directory is not read at the start. Until its backlog is sent, every new event joins it.
const SURVEY_BYTES_MAX: u64 = 256 << 20;

/// A lane of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Live,
    Backlog,
}

impl Lane {
    /// The lane's class in the buffer, which delivers the lowest first.
    pub(super) fn class(self) -> u8 {
        match self {
            Self::Live => 0,
            Self::Backlog => 1,
        }
    }
}

/// How many events wait in each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) live: u64,
    pub(super) backlog: u64,
}

impl Waiting {
    pub(super) fn total(self) -> u64 {
        self.live + self.backlog
    }
}

/// Chooses the lane of each event.
///
/// Events of one workload keep their order: while one of them is in the backlog, later ones join it there. What is in the
/// live lane is older than what its workload has in the backlog, and is sent before it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// How many events of each workload are in the backlog, by the hash of its id. Events that the buffer dropped are
    /// counted until the backlog is empty, which only delays later ones.
    of_workload: HashMap<u64, u32>,
    /// The sum of `of_workload`.
    known: u64,
    hasher: RandomState,
}

impl Lanes {
    /// Reads which workloads an earlier run left events of. A directory that cannot be read now is unknown: then the
    /// backlog holds more events than the table.
    pub(super) fn survey(directory: &Path) -> Self {
        let mut lanes = Self::default();
        if directory.exists()
            && let Ok(mut disk) = Disk::open(directory, 0)
            && disk
                .list()
                .is_ok_and(|files| files.iter().map(|file| file.len).sum::<u64>() <= SURVEY_BYTES_MAX)
        {
            let read = read_all(&mut disk, &mut |record| {
                let event = StoredEvent::of(record);
                if event.lane == Lane::Backlog {
                    lanes.joined(&event.facts().workload);
                }
            });
            if let Err(error) = read {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "the backlog cannot be surveyed; new events join it until it is sent");
                return Self::default();
            }
        }
        lanes
    }

    /// The lane of the next event of this workload, which counts as being there.
    pub(super) fn choose(&mut self, workload: &str, waiting: Waiting) -> Lane {
        if waiting.backlog == 0 && self.known > 0 {
            *self = Self::default();
        }
        // More events than the table knows: some are of workloads that nobody knows.
        let is_known = waiting.backlog <= self.known;
        if is_known && waiting.live < LIVE_EVENTS_MAX && !self.of_workload.contains_key(&self.hash(workload))
        {
            return Lane::Live;
        }
        self.joined(workload);
        Lane::Backlog
    }

    fn joined(&mut self, workload: &str) {
        let hash = self.hash(workload);
        if self.of_workload.len() < WORKLOADS_MAX || self.of_workload.contains_key(&hash) {
            *self.of_workload.entry(hash).or_default() += 1;
            self.known += 1;
        }
    }

    /// An event of this workload left the backlog.
    pub(super) fn left(&mut self, workload: &str) {
        let hash = self.hash(workload);
        if let Some(count) = self.of_workload.get_mut(&hash) {
            (*count, self.known) = (*count - 1, self.known - 1);
            if *count == 0 {
                self.of_workload.remove(&hash);
            }
        }
    }

    fn hash(&self, workload: &str) -> u64 {
        self.hasher.hash_one(workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Waiting = Waiting { live: 0, backlog: 0 };

    /// Fills the live lane with other workloads, and returns what waits then.
    fn filled(lanes: &mut Lanes) -> Waiting {
        for live in 0..LIVE_EVENTS_MAX {
            assert_eq!(lanes.choose(&format!("other-{live}"), Waiting { live, backlog: 0 }), Lane::Live);
        }
        Waiting { live: LIVE_EVENTS_MAX, backlog: 0 }
    }

    #[test]
    fn what_does_not_fit_into_the_live_lane_joins_the_backlog_and_later_events_overtake_it() {
        let mut lanes = Lanes::default();
        let waiting = filled(&mut lanes);
        assert_eq!(lanes.choose("late", waiting), Lane::Backlog);
        assert_eq!(lanes.choose("new", Waiting { live: 3, backlog: 1 }), Lane::Live);
    }

    #[test]
    fn a_workload_whose_events_are_in_the_backlog_stays_behind_them() {
        let mut lanes = Lanes::default();
        let waiting = filled(&mut lanes);
        assert_eq!(lanes.choose("a", waiting), Lane::Backlog);
        assert_eq!(lanes.choose("a", Waiting { live: 0, backlog: 1 }), Lane::Backlog);
        lanes.left("a");
        assert_eq!(lanes.choose("a", Waiting { live: 0, backlog: 1 }), Lane::Backlog);
        (0..2).for_each(|_| lanes.left("a"));
        assert_eq!(lanes.choose("a", NOTHING), Lane::Live);
    }

    #[test]
    fn events_of_unknown_workloads_are_not_overtaken() {
        let mut lanes = Lanes::default();
        // Another process left five events, or the table is full.
        assert_eq!(lanes.choose("a", Waiting { live: 0, backlog: 5 }), Lane::Backlog);
        assert_eq!(lanes.choose("b", Waiting { live: 0, backlog: 6 }), Lane::Backlog);
        assert_eq!(lanes.choose("c", NOTHING), Lane::Live);
        assert_eq!(lanes.choose("a", NOTHING), Lane::Live);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_the_buffer_dropped() {
        let mut lanes = Lanes::default();
        let mut waiting = filled(&mut lanes);
        for number in 0..WORKLOADS_MAX + 10 {
            assert_eq!(lanes.choose(&format!("w{number}"), waiting), Lane::Backlog);
            waiting.backlog += 1;
        }
        assert_eq!(lanes.of_workload.len(), WORKLOADS_MAX);
        assert_eq!(lanes.choose("new", Waiting { live: 0, ..waiting }), Lane::Backlog);
        // All of them were dropped.
        assert_eq!(lanes.choose("new", NOTHING), Lane::Live);
        assert_eq!((lanes.of_workload.len(), lanes.known), (0, 0));
    }
}
