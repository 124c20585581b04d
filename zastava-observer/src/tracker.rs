//! Turns the changes of workload sources into start and stop transitions. Each is emitted once.
//!
//! The tracker is pure. The caller makes an event of each [`Transition`], stores it, and only then
//! calls [`Tracker::commit`]. The next list yields a transition again that was not committed
//! (docs/design/observer.md#why-is-a-transition-committed-after-its-event-is-stored).

#[cfg(test)]
mod model;
mod restored;
mod schedule;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

pub(crate) use self::restored::Restored;
use self::restored::is_reconciled;
pub(crate) use self::schedule::{Schedule, Ticket};
use crate::workload::{Change, Note, Noted, Workload, may_be_same_start};

/// The most workloads that are followed. Starts beyond it are counted and left out. Starts under way are
/// not counted: the schedule bounds those.
pub(crate) const LIVE_MAX: usize = 8192;
/// The most ended runs that are remembered, so that a late report does not start one again.
const ENDED_MAX: usize = 4096;

/// A workload started or stopped, or something is noted of it.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    pub(crate) workload: Workload,
    pub(crate) at: Timestamp,
    pub(crate) step: Step,
    /// Derived from a list: the engine reported no event for it.
    pub(crate) reconciled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start,
    Stop {
        exit_status: Option<u32>,
    },
    /// It goes on, and something is to be told of it.
    Noted(Note),
}

/// The workloads that run.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// By [`Workload::key`], apart for each engine: a list of one says nothing about another.
    live: BTreeMap<Engine, HashMap<String, Workload>>,
    /// The runs that ended last, with their start ticks.
    ended: HashMap<Run, Option<u64>>,
    ended_order: VecDeque<Run>,
    /// What an earlier run followed, of engines that have reported nothing yet.
    restored: BTreeMap<Engine, Vec<Restored>>,
    /// How many starts of each engine were left out.
    left_out: BTreeMap<Engine, u64>,
    /// How many processes were started in containers that do not run here.
    unknown_execs: u64,
}

/// The engine, the workload's key and the pid of its main process.
type Run = (Engine, String, u32);

impl Tracker {
    /// How many workloads run, for each engine that is followed.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Engine, usize)> + '_ {
        self.live.iter().map(|(engine, live)| (*engine, live.len()))
    }

    /// The workloads that run.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.live.values().flat_map(HashMap::values)
    }

    /// The number of starts that were left out because [`LIVE_MAX`] workloads run.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.values().sum()
    }

    /// The number of processes that were started in containers that do not run here.
    pub(crate) fn unknown_execs(&self) -> u64 {
        self.unknown_execs
    }

    /// The transitions that the change means. They take effect when they are committed.
    pub(crate) fn plan(&mut self, change: Change, now: Timestamp) -> Vec<Transition> {
        let (is_after_gap, begun) = self.admit(&change, now);
        let mut transitions = match change {
            Change::Started(workload) => self.plan_one(*workload, now, false),
            Change::Found(workload) => self.plan_one(*workload, now, true),
            Change::Stopped { engine, key, pid, at, exit_status, reconciled } => {
                let live = self.find(engine, &key).filter(|workload| workload.pid == pid);
                let stop = |workload: &Workload| Transition {
                    workload: workload.clone(),
                    at,
                    step: Step::Stop { exit_status },
                    reconciled,
                };
                live.map(stop).into_iter().collect()
            }
            Change::Listed { engine, workloads } => {
                self.live.entry(engine).or_default();
                let reconciled = is_reconciled(engine, is_after_gap);
                let mut transitions = self.plan_list(engine, workloads, now, reconciled);
                let left_out = self.keep_bound(&mut transitions);
                // Each list leaves out the same ones again.
                let counted = self.left_out.entry(engine).or_default();
                *counted = left_out.max(*counted);
                transitions
            }
            Change::Unfollowed { engine, below } => {
                self.forget(engine, below.as_deref());
                Vec::new()
            }
            Change::Noted(of, note) => self.plan_note(&of, note, now).into_iter().collect(),
        };
        transitions.extend(begun);
        transitions
    }

    fn forget(&mut self, engine: Engine, below: Option<&str>) {
        let Some(below) = below else {
            self.live.remove(&engine);
            return;
        };
        if let Some(live) = self.live.get_mut(&engine) {
            live.retain(|key, _| !key.starts_with(below));
        }
        if let Some(restored) = self.restored.get_mut(&engine) {
            restored.retain(|one| !one.workload.key.starts_with(below));
        }
    }

    fn plan_note(&mut self, of: &Noted, note: Note, now: Timestamp) -> Option<Transition> {
        let live = self.find(of.engine, &of.key).filter(|workload| of.means(workload)).cloned();
        let at = match &note {
            Note::Look(_) | Note::Posture(_) => now,
            Note::Exec(exec) => {
                self.unknown_execs += u64::from(live.is_none());
                exec.at
            }
        };
        Some(Transition { workload: live?, at, step: Step::Noted(note), reconciled: false })
    }

    fn find(&self, engine: Engine, key: &str) -> Option<&Workload> {
        self.live.get(&engine)?.get(key)
    }

    fn plan_one(&mut self, workload: Workload, now: Timestamp, reconciled: bool) -> Vec<Transition> {
        let engine = workload.engine;
        let mut transitions = self.plan_start(workload, now, reconciled);
        let left_out = self.keep_bound(&mut transitions);
        *self.left_out.entry(engine).or_default() += left_out;
        transitions
    }

    /// A new run of a workload also stops the run before it.
    fn plan_start(&self, workload: Workload, now: Timestamp, reconciled: bool) -> Vec<Transition> {
        let live = self.find(workload.engine, &workload.key);
        if live.is_some_and(|live| live.is_same_run(&workload)) || self.has_ended(&workload) {
            return Vec::new();
        }
        let is_gap = is_reconciled(workload.engine, reconciled);
        let replaced = live.map(|live| Self::missing_from_list(live, now, is_gap));
        let at = workload.started_at.unwrap_or(now);
        let start = Transition { workload, at, step: Step::Start, reconciled };
        replaced.into_iter().chain([start]).collect()
    }

    fn plan_list(
        &self,
        engine: Engine,
        workloads: Vec<Workload>,
        now: Timestamp,
        reconciled: bool,
    ) -> Vec<Transition> {
        let running: HashSet<&str> = workloads.iter().map(|workload| workload.key.as_str()).collect();
        let live = self.live.get(&engine).into_iter().flat_map(HashMap::values);
        let gone = live.filter(|live| !running.contains(live.key.as_str()));
        let mut transitions: Vec<_> =
            gone.map(|live| Self::missing_from_list(live, now, reconciled)).collect();
        for workload in workloads {
            transitions.extend(self.plan_start(workload, now, reconciled));
        }
        transitions
    }

    fn missing_from_list(workload: &Workload, now: Timestamp, reconciled: bool) -> Transition {
        let step = Step::Stop { exit_status: None };
        Transition { workload: workload.clone(), at: now, step, reconciled }
    }

    /// Leaves out the starts that would take the table over its bound, and counts them.
    fn keep_bound(&self, transitions: &mut Vec<Transition>) -> u64 {
        let is_start = |transition: &Transition| transition.step == Step::Start;
        let stops = transitions.iter().filter(|transition| !is_start(transition)).count();
        let live: usize = self.live.values().map(HashMap::len).sum();
        let mut room = (LIVE_MAX + stops).saturating_sub(live);
        let planned = transitions.len();
        transitions.retain(|transition| {
            let fits = !is_start(transition) || room > 0;
            room -= usize::from(fits && is_start(transition));
            fits
        });
        (planned - transitions.len()) as u64
    }

    /// Applies a transition whose event is stored.
    pub(crate) fn commit(&mut self, transition: &Transition) {
        let workload = &transition.workload;
        match &transition.step {
            Step::Start => {
                let of_engine = self.live.entry(workload.engine).or_default();
                of_engine.insert(workload.key.clone(), workload.clone());
            }
            Step::Stop { .. } => {
                if let Some(of_engine) = self.live.get_mut(&workload.engine) {
                    of_engine.remove(&workload.key);
                }
                self.remember_ended(workload);
            }
            Step::Noted(_) => {}
        }
    }

    fn has_ended(&self, workload: &Workload) -> bool {
        let ended = self.ended.get(&run(workload));
        ended.is_some_and(|ticks| may_be_same_start(*ticks, workload.start_ticks))
    }

    fn remember_ended(&mut self, workload: &Workload) {
        let run = run(workload);
        if self.ended.insert(run.clone(), workload.start_ticks).is_none() {
            self.ended_order.push_back(run);
        }
        if self.ended_order.len() > ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }
}

fn run(workload: &Workload) -> Run {
    (workload.engine, workload.key.clone(), workload.pid)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::workload::Look;
    use crate::workload::tests::workload;

    pub(crate) fn started(key: &str, pid: u32) -> Change {
        Change::Started(Box::new(workload(key, pid)))
    }

    pub(crate) fn stopped(key: &str, pid: u32) -> Change {
        let (engine, key, at) = (Engine::Host, key.to_owned(), Timestamp::UNIX_EPOCH);
        Change::Stopped { engine, key, pid, at, exit_status: Some(0), reconciled: false }
    }

    pub(crate) fn listed(engine: Engine, workloads: &[(&str, u32)]) -> Change {
        let workloads = workloads.iter().map(|(key, pid)| Workload { engine, ..workload(key, *pid) });
        Change::Listed { engine, workloads: workloads.collect() }
    }

    /// That it is time to look at the main process again.
    pub(crate) fn look(key: &str, pid: u32) -> Change {
        Change::Noted(Noted::run_of(&workload(key, pid)), Note::Look(Look::default()))
    }

    /// `+a1` is a start of `a` with the main process 1, `-a1` its stop, `?a1` a look at it.
    pub(crate) fn text(transition: &Transition) -> String {
        let sign = match transition.step {
            Step::Start => '+',
            Step::Stop { .. } => '-',
            Step::Noted(_) => '?',
        };
        format!("{sign}{}{}", transition.workload.key, transition.workload.pid)
    }

    /// Plans a change and commits all of it.
    pub(crate) fn apply(tracker: &mut Tracker, change: Change) -> Vec<String> {
        let transitions = tracker.plan(change, Timestamp::UNIX_EPOCH);
        transitions.iter().for_each(|transition| tracker.commit(transition));
        transitions.iter().map(text).collect()
    }

    #[track_caller]
    fn check(changes: Vec<Change>, wanted: &[&str]) {
        let mut tracker = Tracker::default();
        let emitted: Vec<String> =
            changes.into_iter().flat_map(|change| apply(&mut tracker, change)).collect();
        assert_eq!(emitted, wanted);
    }

    #[test]
    fn every_start_and_stop_is_emitted_once() {
        check(vec![started("a", 1), started("a", 1), stopped("a", 1), stopped("a", 1)], &["+a1", "-a1"]);
        check(vec![listed(Engine::Host, &[("a", 1)]), started("a", 1)], &["+a1"]);
        check(vec![started("a", 1), listed(Engine::Host, &[("a", 1)])], &["+a1"]);
    }

    #[test]
    fn only_what_runs_is_looked_at() {
        check(vec![started("a", 1), look("a", 1), look("a", 1), look("a", 2)], &["+a1", "?a1", "?a1"]);
        check(vec![look("a", 1), started("a", 1), stopped("a", 1), look("a", 1)], &["+a1", "-a1"]);
    }

    #[test]
    fn a_list_gives_the_starts_and_stops_of_the_gap() {
        let before = listed(Engine::Host, &[("a", 1), ("b", 2)]);
        let after = listed(Engine::Host, &[("b", 2), ("c", 3)]);
        check(vec![before, after], &["+a1", "+b2", "-a1", "+c3"]);
    }

    #[test]
    fn a_late_report_neither_starts_nor_stops_another_run() {
        check(vec![started("a", 1), stopped("a", 1), started("a", 1)], &["+a1", "-a1"]);
        check(vec![started("a", 1), stopped("a", 1), listed(Engine::Host, &[("a", 1)])], &["+a1", "-a1"]);
        check(vec![started("a", 1), started("a", 2), stopped("a", 1)], &["+a1", "-a1", "+a2"]);
    }

    #[test]
    fn a_list_of_one_engine_says_nothing_about_another() {
        let (host, containerd) = (Engine::Host, Engine::Containerd);
        check(vec![listed(host, &[("a", 1)]), listed(containerd, &[("c", 2)])], &["+a1", "+c2"]);
        check(vec![listed(host, &[("a", 1)]), listed(containerd, &[]), stopped("a", 1)], &["+a1", "-a1"]);
    }

    #[test]
    fn an_engine_that_is_no_longer_followed_stops_nothing() {
        let mut tracker = Tracker::default();
        apply(&mut tracker, listed(Engine::Host, &[("a", 1)]));
        apply(&mut tracker, listed(Engine::Containerd, &[("c", 2)]));
        let handover = Change::Unfollowed { engine: Engine::Host, below: None };
        assert!(apply(&mut tracker, handover).is_empty());
        assert_eq!(tracker.live().collect::<Vec<_>>(), [(Engine::Containerd, 1)]);
        // The workload was not taken for an ended one either.
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[("a", 1)])), ["+a1"]);
    }

    #[test]
    fn a_transition_that_was_not_committed_is_emitted_again() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.plan(started("a", 1), Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[("a", 1)])), ["+a1"]);
        assert_eq!(tracker.plan(listed(Engine::Host, &[]), Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[])), ["-a1"]);
    }

    #[test]
    fn tables_stay_within_their_bounds() {
        let mut tracker = Tracker::default();
        let many = (0..LIVE_MAX as u32 + 10).map(|pid| workload(&format!("w{pid}"), pid)).collect();
        let many = Change::Listed { engine: Engine::Host, workloads: many };
        assert_eq!(apply(&mut tracker, many).len(), LIVE_MAX);
        assert_eq!((tracker.live().next(), tracker.left_out()), (Some((Engine::Host, LIVE_MAX)), 10));
        assert_eq!(apply(&mut tracker, listed(Engine::Host, &[])).len(), LIVE_MAX);
        assert!(tracker.ended.len() <= ENDED_MAX && tracker.ended_order.len() == tracker.ended.len());
    }
}
