//! Decides which changes may be worked on at the same time, and in which order transitions are
//! committed.
//!
//! Inspections of different workloads run side by side. Their transitions are committed in the order
//! in which they were planned, so that events reach the buffer in the order of the changes. A change
//! is planned against committed state only: while a transition of its workload is under way it is
//! held, and all later changes behind it.
//!
//! An inspection that waits for a file that does not answer is *late*. It holds up its own workload only: transitions of
//! others overtake it, changes of its workload are put aside, and a list says nothing about it; the next list does
//! (docs/design/observer.md#what-happens-when-a-file-does-not-answer).
//!
//! The type is pure: the pipeline drives it with real inspections and a real outbox, a test with every
//! interleaving (docs/design/observer.md#why-is-the-order-of-changes-a-type-of-its-own). One turn is
//!
//! 1. [`offer`](Schedule::offer) a change if the schedule [`accepts`](Schedule::accepts) one,
//! 2. [`plan`](Schedule::plan), and begin the inspections that it returns,
//! 3. report each finished inspection with [`inspected`](Schedule::inspected), in any order, and each one that waits with
//!    [`late`](Schedule::late),
//! 4. store the event that is [`ready`](Schedule::ready), then [`commit`](Schedule::commit) it.

use std::collections::VecDeque;

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::{Restored, Step, Tracker, Transition};
use crate::workload::{Change, Note, Workload};

/// The most transitions under way and changes put aside before no further change is accepted. One list may exceed it.
const UNDER_WAY_MAX: usize = 256;

/// A planned transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// The tracker, with the transitions that are planned and not committed. `E` is what an inspection
/// makes of a transition: its event.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    tracker: Tracker,
    /// In the order of planning.
    under_way: VecDeque<UnderWay<E>>,
    next: u64,
    /// The change that is not planned yet.
    held: Option<Change>,
    /// Changes of workloads whose inspection is late, in their order.
    aside: VecDeque<Change>,
}

#[derive(Debug)]
struct UnderWay<E> {
    ticket: Ticket,
    transition: Transition,
    /// Missing while the inspection runs.
    event: Option<E>,
    is_late: bool,
}

/// What a change has to wait for.
#[derive(PartialEq, Eq)]
enum Wait {
    Nothing,
    /// Only inspections that are late.
    Late,
    InTime,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self {
            tracker: Tracker::default(),
            under_way: VecDeque::new(),
            next: 0,
            held: None,
            aside: VecDeque::new(),
        }
    }
}

impl<E> Schedule<E> {
    /// The committed state.
    pub(crate) fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Whether [`offer`](Self::offer) may be called.
    pub(crate) fn accepts(&self) -> bool {
        self.held.is_none() && self.under_way.len() + self.aside.len() < UNDER_WAY_MAX
    }

    /// Takes the next change.
    ///
    /// # Panics
    /// When another change is still held.
    pub(crate) fn offer(&mut self, change: Change) {
        assert!(self.held.is_none(), "a change is offered while another is held");
        self.held = Some(change);
    }

    /// The transitions to be inspected now, in the order of their commits; none while the change that
    /// was offered has to wait.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Vec<(Ticket, Transition)> {
        let mut planned = Vec::new();
        while let Some(change) = self.next_change() {
            let is_list = matches!(change, Change::Listed { .. });
            let mut transitions = self.tracker.plan(change, now);
            transitions.retain(|transition| !is_list || !self.is_busy(&transition.workload));
            for transition in transitions {
                let ticket = Ticket(self.next);
                self.next += 1;
                let (event, is_late) = (None, false);
                self.under_way.push_back(UnderWay { ticket, transition: transition.clone(), event, is_late });
                planned.push((ticket, transition));
            }
        }
        planned
    }

    /// The inspection of a planned transition is finished.
    ///
    /// # Panics
    /// When the ticket was committed before.
    pub(crate) fn inspected(&mut self, ticket: Ticket, event: E) {
        let entry = self.find(ticket).expect("an inspection ends before its transition is committed");
        entry.event = Some(event);
    }

    /// The inspection of a planned transition waits, if it has not finished.
    pub(crate) fn late(&mut self, ticket: Ticket) {
        if let Some(entry) = self.find(ticket) {
            entry.is_late = true;
        }
    }

    /// Goes on where an earlier run ended.
    pub(crate) fn restore(&mut self, workloads: impl IntoIterator<Item = Restored>) {
        self.tracker.restore(workloads);
    }

    /// The transition whose event is to be stored next: the first one under way, once it is inspected. Late ones are
    /// overtaken.
    pub(crate) fn ready(&self) -> Option<(&Transition, &E)> {
        let entry = self.under_way.get(self.first_ready()?)?;
        Some((&entry.transition, entry.event.as_ref()?))
    }

    /// Commits the transition whose event was [`ready`](Self::ready) and is stored now.
    pub(crate) fn commit(&mut self) -> Option<E> {
        let entry = self.under_way.remove(self.first_ready()?)?;
        self.tracker.commit(&entry.transition);
        entry.event
    }

    /// Whether a workload is looked at again.
    pub(crate) fn is_looking(&self) -> bool {
        let is_look = |change: &Change| matches!(change, Change::Noted(_, Note::Look(_)));
        let is_under_way = |entry: &UnderWay<E>| matches!(entry.transition.step, Step::Noted(Note::Look(_)));
        self.under_way.iter().any(is_under_way) || self.held.iter().chain(&self.aside).any(is_look)
    }

    /// Whether nothing is left to do until another change is offered.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.held.is_none() && self.aside.is_empty()
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut UnderWay<E>> {
        self.under_way.iter_mut().find(|entry| entry.ticket == ticket)
    }

    fn first_ready(&self) -> Option<usize> {
        let waits = |at: usize| {
            let workload = &self.under_way[at].transition.workload;
            self.under_way.range(..at).any(|before| is_same(&before.transition.workload, workload))
        };
        // Those that neither are ready nor may be overtaken end the search.
        let reached =
            self.under_way.iter().take_while(|entry| entry.event.is_some() || entry.is_late).count();
        (0..reached).find(|at| self.under_way[*at].event.is_some() && !waits(*at))
    }

    /// The change to be planned now: one that was put aside, or else the one that is held.
    fn next_change(&mut self) -> Option<Change> {
        let is_free = |change: &Change| self.wait(change, false) == Wait::Nothing;
        if let Some(at) = self.aside.iter().position(is_free) {
            return self.aside.remove(at);
        }
        let change = self.held.take()?;
        match self.wait(&change, true) {
            Wait::Nothing => return Some(change),
            Wait::Late => self.aside.push_back(change),
            Wait::InTime => self.held = Some(change),
        }
        None
    }

    /// What the change has to wait for, and with `behind_aside` also whether one of its workload was put aside.
    fn wait(&self, change: &Change, behind_aside: bool) -> Wait {
        let of_engine = |engine: Engine| {
            self.under_way.iter().filter(move |entry| entry.transition.workload.engine == engine)
        };
        let (engine, key) = match change {
            // A list waits for those in time and leaves the others out.
            Change::Listed { engine, .. } if of_engine(*engine).all(|entry| entry.is_late) => {
                return Wait::Nothing;
            }
            Change::Unfollowed { engine, .. } if of_engine(*engine).count() == 0 => return Wait::Nothing,
            Change::Listed { .. } | Change::Unfollowed { .. } => return Wait::InTime,
            Change::Started(workload) | Change::Found(workload) => (workload.engine, &workload.key),
            Change::Stopped { engine, key, .. } => (*engine, key),
            Change::Noted(of, _) => (of.engine, &of.key),
        };
        let is_meant = |workload: &Workload| workload.engine == engine && workload.key == *key;
        let mut before =
            self.under_way.iter().filter(|entry| is_meant(&entry.transition.workload)).peekable();
        if before.peek().is_some() {
            return if before.all(|entry| entry.is_late) { Wait::Late } else { Wait::InTime };
        }
        let is_aside = behind_aside && self.aside.iter().any(|aside| concerns(aside, engine, key));
        if is_aside { Wait::Late } else { Wait::Nothing }
    }

    /// Whether a transition of the workload is under way, or a change of it was put aside.
    fn is_busy(&self, workload: &Workload) -> bool {
        self.under_way.iter().any(|entry| is_same(&entry.transition.workload, workload))
            || self.aside.iter().any(|aside| concerns(aside, workload.engine, &workload.key))
    }
}

fn is_same(one: &Workload, other: &Workload) -> bool {
    one.engine == other.engine && one.key == other.key
}

fn concerns(change: &Change, of: Engine, wanted: &str) -> bool {
    match change {
        Change::Started(workload) | Change::Found(workload) => {
            workload.engine == of && workload.key == wanted
        }
        Change::Stopped { engine, key, .. } => *engine == of && key == wanted,
        Change::Noted(noted, _) => noted.engine == of && noted.key == wanted,
        Change::Listed { .. } | Change::Unfollowed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::tests::{listed, started, stopped, text};

    /// A schedule whose events are the transitions' texts.
    #[derive(Default)]
    struct Script {
        schedule: Schedule<String>,
        /// Inspections that run.
        running: Vec<(Ticket, Transition)>,
    }

    impl Script {
        /// Offers a change and begins what is planned; which inspections run then.
        fn offer(&mut self, change: Change) -> Vec<String> {
            assert!(self.schedule.accepts());
            self.schedule.offer(change);
            self.plan()
        }

        fn plan(&mut self) -> Vec<String> {
            self.running.extend(self.schedule.plan(Timestamp::UNIX_EPOCH));
            self.running.iter().map(|(_, transition)| text(transition)).collect()
        }

        /// Finishes one inspection, and commits what is ready.
        fn finish(&mut self, wanted: &str) -> Vec<String> {
            let (ticket, transition) = self.running.remove(self.find(wanted));
            self.schedule.inspected(ticket, text(&transition));
            std::iter::from_fn(|| self.schedule.commit()).collect()
        }

        /// One inspection waits. Commits what is ready.
        fn late(&mut self, wanted: &str) -> Vec<String> {
            self.schedule.late(self.running[self.find(wanted)].0);
            std::iter::from_fn(|| self.schedule.commit()).collect()
        }

        fn find(&self, wanted: &str) -> usize {
            let at = self.running.iter().position(|(_, transition)| text(transition) == wanted);
            at.expect("is being inspected")
        }
    }

    #[test]
    fn workloads_are_inspected_side_by_side_and_committed_in_order() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        assert_eq!(script.offer(started("b", 2)), ["+a1", "+b2"]);
        assert!(script.finish("+b2").is_empty());
        assert_eq!(script.finish("+a1"), ["+a1", "+b2"]);
        assert!(script.schedule.is_idle());
    }

    #[test]
    fn a_change_waits_for_the_transition_of_its_workload() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        assert_eq!(script.offer(stopped("a", 1)), ["+a1"]);
        assert!(!script.schedule.accepts());
        assert_eq!(script.finish("+a1"), ["+a1"]);
        assert_eq!(script.plan(), ["-a1"]);
        assert!(script.schedule.accepts());
    }

    #[test]
    fn a_list_waits_for_everything_of_its_engine() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        script.offer(started("b", 2));
        assert_eq!(script.offer(listed(Engine::Host, &[("a", 1)])), ["+a1", "+b2"]);
        script.finish("+a1");
        assert_eq!(script.plan(), ["+b2"]);
        script.finish("+b2");
        assert_eq!(script.plan(), ["-b2"]);
    }

    #[test]
    fn another_engine_does_not_wait() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        assert_eq!(script.offer(listed(Engine::Containerd, &[("c", 2)])), ["+a1", "+c2"]);
    }

    #[test]
    fn an_inspection_that_is_late_is_overtaken_by_other_workloads_only() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        script.offer(started("b", 2));
        assert!(script.finish("+b2").is_empty());
        assert_eq!(script.late("+a1"), ["+b2"]);
        // What concerns the late workload waits for it, in its order; other changes go on.
        assert!(script.offer(stopped("a", 1)).contains(&"+a1".to_owned()));
        assert_eq!(script.offer(started("a", 3)), ["+a1"]);
        assert_eq!(script.offer(stopped("b", 2)), ["+a1", "-b2"]);
        assert_eq!(script.finish("-b2"), ["-b2"]);
        // A list tells the start of `c`, and nothing about `a`, which it does not hold.
        assert_eq!(script.offer(listed(Engine::Host, &[("c", 4)])), ["+a1", "+c4"]);
        assert_eq!(script.finish("+c4"), ["+c4"]);
        assert!(!script.schedule.is_idle());
        assert_eq!(script.finish("+a1"), ["+a1"]);
        assert_eq!(script.plan(), ["-a1"]);
        assert_eq!(script.finish("-a1"), ["-a1"]);
        assert_eq!(script.plan(), ["+a3"]);
        assert_eq!(script.finish("+a3"), ["+a3"]);
        assert!(script.schedule.is_idle());
    }

    #[test]
    fn a_handover_waits_for_late_inspections_too() {
        let mut script = Script::default();
        script.offer(started("a", 1));
        script.late("+a1");
        assert_eq!(script.offer(Change::Unfollowed { engine: Engine::Host, below: None }), ["+a1"]);
        assert!(!script.schedule.accepts());
        script.finish("+a1");
        assert!(script.plan().is_empty() && script.schedule.is_idle());
        assert_eq!(script.schedule.tracker().live().count(), 0);
    }

    #[test]
    fn the_number_under_way_is_bounded() {
        let mut script = Script::default();
        for pid in 0..UNDER_WAY_MAX as u32 {
            script.offer(started(&format!("w{pid}"), pid));
        }
        assert!(!script.schedule.accepts());
        script.finish("+w00");
        assert!(script.schedule.accepts());
    }
}
