//! Who lives, who died: turns what a source saw into starts and stops, each told once.
//!
//! Pure: the caller makes an event of each [`Transition`], puts it into the queue, and only then
//! lets the tracker know by [`Tracker::commit`]. A transition that was not committed is found again
//! in the next snapshot.

use std::collections::{HashMap, HashSet, VecDeque};

use zastava_core::clock::Timestamp;

use crate::runtime::{Change, Container, same_ticks};

/// Workloads that are followed; more are counted and left out.
pub(crate) const LIVE_MAX: usize = 8192;
/// Ended runs that are remembered, so that a late word does not start them again.
const ENDED_MAX: usize = 4096;

/// A workload that began or ended.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    pub(crate) container: Container,
    pub(crate) at: Timestamp,
    pub(crate) step: Step,
    /// Found by comparing lists and not told by the engine.
    pub(crate) reconciled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start,
    Stop { exit_status: Option<u32> },
}

/// The workloads that run, by [`Container::key`].
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    live: HashMap<String, Container>,
    /// Key and pid of the last runs that ended, with their start ticks.
    ended: HashMap<(String, u32), Option<u64>>,
    ended_order: VecDeque<(String, u32)>,
    left_out: u64,
}

impl Tracker {
    /// How many workloads run.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// How often a workload was left out since too many run.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the change means, given who lives. Remembers nothing but what is left out.
    pub(crate) fn plan(&mut self, change: Change, now: Timestamp) -> Vec<Transition> {
        let (wanted, transitions) = match change {
            Change::Started(container) => (1, self.plan_start(*container, now, false)),
            Change::Stopped { key, pid, at, exit_status } => {
                let stopped = self.live.get(&key).filter(|container| container.pid == pid);
                let stop = |container: &Container| Transition {
                    container: container.clone(),
                    at,
                    step: Step::Stop { exit_status },
                    reconciled: false,
                };
                (0, stopped.map(stop).into_iter().collect())
            }
            Change::Snapshot(containers) => (containers.len(), self.plan_snapshot(containers, now)),
        };
        self.keep_bound(wanted, transitions)
    }

    /// A run that replaces another of the same workload ends that one.
    fn plan_start(&self, container: Container, now: Timestamp, reconciled: bool) -> Vec<Transition> {
        let known = self.live.get(&container.key);
        if known.is_some_and(|known| known.same_run(&container)) || self.has_ended(&container) {
            return Vec::new();
        }
        let replaced = known.map(|known| Self::found_gone(known, now));
        let at = container.started_at.unwrap_or(now);
        let start = Transition { container, at, step: Step::Start, reconciled };
        replaced.into_iter().chain([start]).collect()
    }

    fn plan_snapshot(&self, containers: Vec<Container>, now: Timestamp) -> Vec<Transition> {
        let running: HashSet<&str> = containers.iter().map(|container| container.key.as_str()).collect();
        let gone = self.live.values().filter(|container| !running.contains(container.key.as_str()));
        let mut transitions: Vec<_> = gone.map(|container| Self::found_gone(container, now)).collect();
        for container in containers {
            transitions.extend(self.plan_start(container, now, true));
        }
        transitions
    }

    fn found_gone(container: &Container, now: Timestamp) -> Transition {
        let step = Step::Stop { exit_status: None };
        Transition { container: container.clone(), at: now, step, reconciled: true }
    }

    /// Leaves out starts that would make the table larger than its bound.
    fn keep_bound(&mut self, wanted: usize, mut transitions: Vec<Transition>) -> Vec<Transition> {
        if self.live.len() + wanted <= LIVE_MAX {
            return transitions;
        }
        let stops = transitions.iter().filter(|transition| transition.step != Step::Start).count();
        let mut room = LIVE_MAX.saturating_sub(self.live.len() - stops);
        let before = transitions.len();
        transitions.retain(|transition| {
            let fits = transition.step != Step::Start || room > 0;
            if fits && transition.step == Step::Start {
                room -= 1;
            }
            fits
        });
        self.left_out += (before - transitions.len()) as u64;
        transitions
    }

    /// The transition's event is in the queue: it is true from now on.
    pub(crate) fn commit(&mut self, transition: &Transition) {
        let container = &transition.container;
        match transition.step {
            Step::Start => {
                self.live.insert(container.key.clone(), container.clone());
            }
            Step::Stop { .. } => {
                self.live.remove(&container.key);
                self.remember_ended(container);
            }
        }
    }

    fn has_ended(&self, container: &Container) -> bool {
        let ended = self.ended.get(&(container.key.clone(), container.pid));
        ended.is_some_and(|ticks| same_ticks(*ticks, container.start_ticks))
    }

    fn remember_ended(&mut self, container: &Container) {
        let run = (container.key.clone(), container.pid);
        if self.ended.insert(run.clone(), container.start_ticks).is_none() {
            self.ended_order.push_back(run);
        }
        if self.ended_order.len() > ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zastava_core::contract::{EngineIdentity, Workload};
    use zastava_core::vocabulary::{Engine, Platform};

    fn container(id: &str, pid: u32) -> Container {
        Container {
            key: id.to_owned(),
            id: id.to_owned(),
            pid,
            start_ticks: Some(u64::from(pid)),
            started_at: None,
            cgroup: None,
            runtime: EngineIdentity::new(Engine::Host),
            workload: Workload::new(Platform::Vm),
            entrypoint: Vec::new(),
            evidence: Vec::new(),
        }
    }

    fn started(id: &str, pid: u32) -> Change {
        Change::Started(Box::new(container(id, pid)))
    }

    fn stopped(id: &str, pid: u32) -> Change {
        Change::Stopped { key: id.to_owned(), pid, at: Timestamp::UNIX_EPOCH, exit_status: Some(0) }
    }

    fn snapshot(containers: &[(&str, u32)]) -> Change {
        Change::Snapshot(containers.iter().map(|(id, pid)| container(id, *pid)).collect())
    }

    /// Plans and commits; `+a1` is a start of `a` as process 1, `-a1` its end.
    fn apply(tracker: &mut Tracker, change: Change) -> Vec<String> {
        let transitions = tracker.plan(change, Timestamp::UNIX_EPOCH);
        transitions.iter().for_each(|transition| tracker.commit(transition));
        transitions.iter().map(shown).collect()
    }

    fn shown(transition: &Transition) -> String {
        let sign = if transition.step == Step::Start { '+' } else { '-' };
        format!("{sign}{}{}", transition.container.id, transition.container.pid)
    }

    #[track_caller]
    fn check(changes: Vec<Change>, wanted: &[&str]) {
        let mut tracker = Tracker::default();
        let told: Vec<String> = changes.into_iter().flat_map(|change| apply(&mut tracker, change)).collect();
        assert_eq!(told, wanted);
    }

    #[test]
    fn every_start_and_stop_is_told_once() {
        check(vec![started("a", 1), started("a", 1), stopped("a", 1), stopped("a", 1)], &["+a1", "-a1"]);
        check(vec![snapshot(&[("a", 1)]), started("a", 1)], &["+a1"]);
        check(vec![started("a", 1), snapshot(&[("a", 1)])], &["+a1"]);
    }

    #[test]
    fn a_snapshot_gives_the_starts_and_stops_of_the_gap() {
        check(
            vec![snapshot(&[("a", 1), ("b", 2)]), snapshot(&[("b", 2), ("c", 3)])],
            &["+a1", "+b2", "-a1", "+c3"],
        );
    }

    #[test]
    fn a_late_word_neither_starts_nor_ends_another_run() {
        check(vec![started("a", 1), stopped("a", 1), started("a", 1)], &["+a1", "-a1"]);
        check(vec![started("a", 1), stopped("a", 1), snapshot(&[("a", 1)])], &["+a1", "-a1"]);
        check(vec![started("a", 1), started("a", 2), stopped("a", 1)], &["+a1", "-a1", "+a2"]);
    }

    #[test]
    fn what_was_not_committed_is_found_again() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.plan(started("a", 1), Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(apply(&mut tracker, snapshot(&[("a", 1)])), ["+a1"]);
        assert_eq!(tracker.plan(snapshot(&[]), Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(apply(&mut tracker, snapshot(&[])), ["-a1"]);
    }

    #[test]
    fn tables_stay_within_their_bounds() {
        let mut tracker = Tracker::default();
        let many: Vec<Container> =
            (0..LIVE_MAX as u32 + 10).map(|pid| container(&format!("c{pid}"), pid)).collect();
        assert_eq!(apply(&mut tracker, Change::Snapshot(many.clone())).len(), LIVE_MAX);
        assert_eq!((tracker.live(), tracker.left_out()), (LIVE_MAX, 10));
        assert_eq!(apply(&mut tracker, snapshot(&[])).len(), LIVE_MAX);
        assert!(tracker.ended.len() <= ENDED_MAX && tracker.ended_order.len() == tracker.ended.len());
    }
}
