//! Decides which changes may be worked on at the same time, and in which order transitions are
//! committed.
//!
//! Inspections of different workloads run side by side. Their transitions are committed in the order
//! in which they were planned, so that events reach the buffer in the order of the changes. A change
//! is planned against committed state only: while a transition of its workload is under way it is
//! held, and all later changes behind it.
//!
//! The type is pure: the pipeline drives it with real inspections and a real outbox, a test with every
//! interleaving (docs/design/observer.md#why-is-the-order-of-changes-a-type-of-its-own). One turn is
//!
//! 1. [`offer`](Schedule::offer) a change if the schedule [`accepts`](Schedule::accepts) one,
//! 2. [`plan`](Schedule::plan), and begin the inspections that it returns,
//! 3. report each finished inspection with [`inspected`](Schedule::inspected), in any order,
//! 4. store the event that is [`ready`](Schedule::ready), then [`commit`](Schedule::commit) it.

use std::collections::VecDeque;

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::{Tracker, Transition};
use crate::workload::Change;

/// The most transitions under way before no further change is accepted. One list may exceed it.
const UNDER_WAY_MAX: usize = 256;

/// A planned transition, by its place in the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// The tracker, with the transitions that are planned and not committed. `E` is what an inspection
/// makes of a transition: its event.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    tracker: Tracker,
    /// In the order of commits; the event is missing while the inspection runs.
    under_way: VecDeque<(Transition, Option<E>)>,
    /// The ticket of the first transition under way.
    first: u64,
    /// The change that is not planned yet.
    held: Option<Change>,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { tracker: Tracker::default(), under_way: VecDeque::new(), first: 0, held: None }
    }
}

impl<E> Schedule<E> {
    /// The committed state.
    pub(crate) fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Whether [`offer`](Self::offer) may be called.
    pub(crate) fn accepts(&self) -> bool {
        self.held.is_none() && self.under_way.len() < UNDER_WAY_MAX
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
        let Some(change) = self.held.take_if(|change| !touches_any(change, &self.under_way)) else {
            return Vec::new();
        };
        let transitions = self.tracker.plan(change, now);
        let next = self.first + self.under_way.len() as u64;
        self.under_way.extend(transitions.iter().map(|transition| (transition.clone(), None)));
        (next..).map(Ticket).zip(transitions).collect()
    }

    /// The inspection of a planned transition is finished.
    ///
    /// # Panics
    /// When the ticket was committed before.
    pub(crate) fn inspected(&mut self, ticket: Ticket, event: E) {
        let place = ticket.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.under_way.get_mut(place));
        entry.expect("an inspection ends before its transition is committed").1 = Some(event);
    }

    /// The event to be stored next: that of the first transition under way, once it is inspected.
    pub(crate) fn ready(&self) -> Option<&E> {
        self.under_way.front()?.1.as_ref()
    }

    /// Commits the transition whose event was [`ready`](Self::ready) and is stored now.
    pub(crate) fn commit(&mut self) -> Option<E> {
        let (transition, event) = self.under_way.pop_front_if(|(_, event)| event.is_some())?;
        self.tracker.commit(&transition);
        self.first += 1;
        event
    }

    /// Whether nothing is left to do until another change is offered.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.held.is_none()
    }
}

/// Whether the change depends on a transition that is not committed.
fn touches_any<E>(change: &Change, under_way: &VecDeque<(Transition, Option<E>)>) -> bool {
    let any = |engine: Engine, key: Option<&str>| {
        let mut workloads = under_way.iter().map(|(transition, _)| &transition.workload);
        workloads.any(|workload| workload.engine == engine && key.is_none_or(|key| key == workload.key))
    };
    match change {
        Change::Started(workload) => any(workload.engine, Some(&workload.key)),
        Change::Stopped { engine, key, .. } => any(*engine, Some(key)),
        Change::Listed { engine, .. } | Change::Unfollowed { engine } => any(*engine, None),
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
            let at = self.running.iter().position(|(_, transition)| text(transition) == wanted);
            let (ticket, transition) = self.running.remove(at.expect("is being inspected"));
            self.schedule.inspected(ticket, text(&transition));
            std::iter::from_fn(|| self.schedule.commit()).collect()
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
