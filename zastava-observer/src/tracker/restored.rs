//! Workloads that an earlier run of the observer followed.

use std::collections::HashSet;

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::{Step, Tracker, Transition};
use crate::workload::{Change, Note, Workload};

/// A workload of an earlier run.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) workload: Workload,
    /// Whether its start is told; otherwise it may be.
    pub(crate) is_told: bool,
}

impl Tracker {
    /// Goes on where an earlier run ended. The workloads of an engine become live once the engine reports something:
    /// those of an engine that is not there any more have not stopped; nobody watches them.
    pub(crate) fn restore(&mut self, workloads: impl IntoIterator<Item = Restored>) {
        for restored in workloads {
            self.restored.entry(restored.workload.engine).or_default().push(restored);
        }
    }

    /// The workloads whose engine has reported nothing yet.
    pub(crate) fn restored(&self) -> impl Iterator<Item = &Restored> {
        self.restored.values().flatten()
    }

    /// Makes restored workloads of the change's engine live. Whether there were any, and the transitions of those that
    /// have stopped and whose start may not be told: the first list tells both. Scanner counts what it knows as a
    /// duplicate.
    pub(super) fn admit(&mut self, change: &Change, now: Timestamp) -> (bool, Vec<Transition>) {
        let (engine, listed) = match change {
            Change::Listed { engine, workloads } => (*engine, Some(workloads)),
            Change::Started(workload) | Change::Found(workload) => (workload.engine, None),
            Change::Stopped { engine, .. } => (*engine, None),
            // Other notes are about what this run has told.
            Change::Noted(of, Note::Exec(_)) => (of.engine, None),
            Change::Unfollowed { .. } | Change::Noted(..) => return (false, Vec::new()),
        };
        let Some(restored) = self.restored.remove(&engine) else { return (false, Vec::new()) };
        let (told, begun): (Vec<_>, Vec<_>) = restored.into_iter().partition(|restored| restored.is_told);
        let live = self.live.entry(engine).or_default();
        for Restored { workload, .. } in told {
            live.entry(workload.key.clone()).or_insert(workload);
        }
        match listed {
            Some(listed) => (true, begun_and_stopped(begun, listed, now)),
            None if begun.is_empty() => (true, Vec::new()),
            None => {
                self.restored.insert(engine, begun);
                (true, Vec::new())
            }
        }
    }
}

fn begun_and_stopped(begun: Vec<Restored>, listed: &[Workload], now: Timestamp) -> Vec<Transition> {
    let runs: HashSet<(&str, u32)> =
        listed.iter().map(|workload| (workload.key.as_str(), workload.pid)).collect();
    let both = |Restored { workload, .. }: Restored| {
        let start = Transition {
            at: workload.started_at.unwrap_or(now),
            workload: workload.clone(),
            step: Step::Start,
            reconciled: true,
        };
        let stop = Transition { at: now, workload, step: Step::Stop { exit_status: None }, reconciled: true };
        [start, stop]
    };
    let stopped = begun
        .into_iter()
        .filter(|restored| !runs.contains(&(restored.workload.key.as_str(), restored.workload.pid)));
    stopped.flat_map(both).collect()
}

/// Whether a transition that a list shows is worth a mark. The host is only ever listed; there a list says something
/// about a gap only if it is the first one after it. Elsewhere the engine's own event is missing.
pub(super) fn is_reconciled(engine: Engine, is_after_gap: bool) -> bool {
    engine != Engine::Host || is_after_gap
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::tests::{apply, listed, started, stopped};
    use crate::workload::tests::workload;
    use crate::workload::{ExecSession, Noted};

    fn restored(key: &str, pid: u32, is_told: bool) -> Restored {
        Restored { workload: workload(key, pid), is_told }
    }

    fn tracker(workloads: impl IntoIterator<Item = Restored>) -> Tracker {
        let mut tracker = Tracker::default();
        tracker.restore(workloads);
        tracker
    }

    #[test]
    fn the_first_list_tells_what_stopped_and_started_in_the_gap_once() {
        let mut tracker = tracker([restored("a", 1, true), restored("b", 2, true)]);
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[("b", 2), ("c", 3)])), ["-a1", "+c3"]);
        assert!(apply(&mut tracker, listed(Engine::Host, &[("b", 2), ("c", 3)])).is_empty());
    }

    #[test]
    fn what_a_list_shows_after_a_gap_is_marked_and_later_on_the_host_is_not() {
        let mut tracker = tracker([restored("a", 1, true)]);
        let mut marks = |workloads: &[(&str, u32)]| {
            let transitions = tracker.plan(listed(Engine::Host, workloads), Timestamp::UNIX_EPOCH);
            transitions.iter().for_each(|transition| tracker.commit(transition));
            transitions.iter().map(|transition| transition.reconciled).collect::<Vec<_>>()
        };
        assert_eq!(marks(&[("c", 3)]), [true, true]);
        assert_eq!(marks(&[("d", 4)]), [false, false]);
    }

    #[test]
    fn a_start_that_may_not_be_told_is_told_again() {
        let all = || [restored("runs", 1, false), restored("gone", 2, false), restored("reused", 3, false)];
        let list = || listed(Engine::Host, &[("runs", 1), ("reused", 9)]);
        let wanted = ["+runs1", "+reused9", "+gone2", "-gone2", "+reused3", "-reused3"];
        let emitted = |mut emitted: Vec<String>| {
            emitted.sort();
            emitted
        };
        let mut sorted = wanted.map(str::to_owned);
        sorted.sort();
        assert_eq!(emitted(apply(&mut tracker(all()), list())), sorted);
        // Another change comes first.
        let mut tracker = tracker(all());
        assert_eq!(apply(&mut tracker, started("new", 7)), ["+new7"]);
        assert!(apply(&mut tracker, stopped("gone", 2)).is_empty());
        assert_eq!(tracker.restored().count(), 3);
    }

    #[test]
    fn a_stop_that_the_engine_reports_before_its_list_has_its_exit_status() {
        let mut tracker = tracker([restored("a", 1, true)]);
        let transitions = tracker.plan(stopped("a", 1), Timestamp::UNIX_EPOCH);
        assert_eq!(transitions[0].step, Step::Stop { exit_status: Some(0) });
        assert!(!transitions[0].reconciled);
    }

    #[test]
    fn workloads_of_an_engine_that_is_silent_have_not_stopped() {
        let mut tracker = tracker([restored("a", 1, true)]);
        assert_eq!(apply(&mut tracker, listed(Engine::Containerd, &[])), Vec::<String>::new());
        assert_eq!((tracker.restored().count(), tracker.live().next()), (1, Some((Engine::Containerd, 0))));
    }

    #[test]
    fn what_another_source_tells_now_has_not_stopped() {
        let mut tracker = tracker([restored("moby/a", 1, true), restored("n/b", 2, true)]);
        let below = Some("moby/".to_owned());
        assert!(apply(&mut tracker, Change::Unfollowed { engine: Engine::Host, below }).is_empty());
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[])), ["-n/b2"]);
    }

    #[test]
    fn a_session_before_the_first_list_is_one_of_the_workload() {
        let mut tracker = tracker([restored("a", 1, true)]);
        let exec = ExecSession { id: "e".to_owned(), pid: 9, at: Timestamp::UNIX_EPOCH };
        let of = Noted { pid: None, ..Noted::run_of(&workload("a", 1)) };
        assert_eq!(apply(&mut tracker, Change::Noted(of, Note::Exec(exec))), ["?a1"]);
        assert_eq!(tracker.unknown_execs(), 0);
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[])), ["-a1"]);
    }
}
