//! Every interleaving of a short script with inspections, storing, committing and shipping, also across a crash.
//!
//! The tracker and its schedule are the real ones. The engine, the outbox and Scanner are models: the outbox survives a
//! crash, Scanner remembers ids, and an answer of Scanner can be lost. At every step
//! `observed = delivered + duplicate + buffered`. When nothing is left to do, the tracker knows what runs, and Scanner has
//! every stored event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::tests::{listed, look, started, stopped, text};
use super::{Schedule, Ticket};
use crate::workload::Change;

/// Choices beyond this depth take the first move that is possible.
const DEPTH: usize = 12;

/// What happens at the engine, and what runs afterwards.
struct Happening {
    /// `None` if the stream loses it.
    report: Option<fn() -> Change>,
    running: &'static [(&'static str, u32)],
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The next happening, and its report.
    Engine,
    /// This inspection ends.
    Inspected(usize),
    /// This inspection waits for a file that does not answer.
    Late(usize),
    Store,
    Commit,
    /// Scanner takes the oldest event, and its answer arrives.
    Ship,
    /// Scanner takes the oldest event, and its answer is lost.
    LoseAnswer,
    /// The observer dies and starts again. This many happenings pass before it lists what runs.
    Crash(usize),
}

/// Which moves there are beside the ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    LostAnswer,
    Crash,
    Late,
}

#[derive(Default)]
struct Model {
    schedule: Schedule<String>,
    inspections: Vec<(Ticket, String)>,
    /// The event that is ready is stored and not committed yet.
    is_stored: bool,
    /// How many happenings have passed.
    passed: usize,
    had_trouble: bool,
    /// The list at the end was made.
    was_listed: bool,
    outbox: VecDeque<String>,
    observed: usize,
    delivered: usize,
    duplicate: usize,
    scanner: BTreeSet<String>,
    /// The events stored since the last start of the observer.
    stored: Vec<String>,
}

impl Model {
    fn moves(&self, script: &[Happening], trouble: Trouble) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.is_stored {
            moves.push(Move::Commit);
        } else {
            moves.extend((0..self.inspections.len()).map(Move::Inspected));
            if !self.had_trouble && trouble == Trouble::Late {
                moves.extend((0..self.inspections.len()).map(Move::Late));
            }
            if self.schedule.ready().is_some() {
                moves.push(Move::Store);
            }
            if self.passed < script.len() && self.schedule.accepts() {
                moves.push(Move::Engine);
            }
        }
        if !self.outbox.is_empty() {
            moves.push(Move::Ship);
        }
        if !self.had_trouble && trouble == Trouble::LostAnswer && !self.outbox.is_empty() {
            moves.push(Move::LoseAnswer);
        }
        if !self.had_trouble && trouble == Trouble::Crash {
            moves.extend((0..=script.len() - self.passed).map(Move::Crash));
        }
        moves
    }

    fn play(&mut self, next: Move, script: &[Happening]) {
        match next {
            Move::Engine => {
                if let Some(report) = script[self.passed].report {
                    self.schedule.offer(report());
                }
                self.passed += 1;
            }
            Move::Inspected(at) => {
                let (ticket, event) = self.inspections.remove(at);
                self.schedule.inspected(ticket, event);
            }
            Move::Late(at) => {
                self.had_trouble = true;
                self.schedule.late(self.inspections[at].0);
            }
            Move::Store => {
                let event = self.schedule.ready().map(|(_, event)| event).expect("is ready").clone();
                self.stored.push(event.clone());
                self.outbox.push_back(event);
                (self.observed, self.is_stored) = (self.observed + 1, true);
            }
            Move::Commit => {
                assert_eq!(self.schedule.commit().as_ref(), self.stored.last());
                self.is_stored = false;
            }
            Move::Ship => {
                let event = self.outbox.pop_front().expect("waits");
                let is_new = self.scanner.insert(event);
                *(if is_new { &mut self.delivered } else { &mut self.duplicate }) += 1;
            }
            Move::LoseAnswer => {
                self.had_trouble = true;
                self.scanner.extend(self.outbox.front().cloned());
            }
            Move::Crash(missed) => self.crash(missed, script),
        }
        if !self.is_stored {
            self.plan();
        }
    }

    fn plan(&mut self) {
        let planned = self.schedule.plan(Timestamp::UNIX_EPOCH).into_iter();
        self.inspections.extend(planned.map(|(ticket, transition)| (ticket, text(&transition))));
    }

    /// Only the outbox survives. Events that it holds count as observed by the new process.
    fn crash(&mut self, missed: usize, script: &[Happening]) {
        self.check_order();
        let (outbox, scanner) = (std::mem::take(&mut self.outbox), std::mem::take(&mut self.scanner));
        let passed = self.passed + missed;
        *self =
            Self { observed: outbox.len(), outbox, scanner, passed, had_trouble: true, ..Self::default() };
        self.offer_list(script);
    }

    fn offer_list(&mut self, script: &[Happening]) {
        let running = self.passed.checked_sub(1).map_or(&[][..], |last| script[last].running);
        self.schedule.offer(listed(Engine::Host, running));
    }

    /// Each workload starts before it stops, and stops before it starts again. It is looked at in between.
    fn check_order(&self) {
        let mut running = BTreeMap::new();
        for event in &self.stored {
            let (sign, run) = event.split_at(1);
            let (key, pid) = run.split_at(1);
            if sign == "?" {
                assert_eq!(running.get(key), Some(&pid), "{event} in {:?}", self.stored);
                continue;
            }
            let before = if sign == "+" { running.insert(key, pid) } else { running.remove(key) };
            assert_eq!(before, Some(pid).filter(|_| sign == "-"), "{event} in {:?}", self.stored);
        }
    }

    fn check_end(&self, script: &[Happening]) {
        self.check_order();
        assert!(self.schedule.is_idle() && self.outbox.is_empty() && self.passed == script.len());
        let running = script[script.len() - 1].running;
        let live: usize = self.schedule.tracker().live().map(|(_, count)| count).sum();
        assert_eq!(live, running.len(), "{:?}", self.stored);
        assert!(self.stored.iter().all(|event| self.scanner.contains(event)));
        for (key, pid) in running {
            assert!(self.scanner.contains(&format!("+{key}{pid}")), "{:?}", self.scanner);
        }
        for stop in self.scanner.iter().filter_map(|event| event.strip_prefix('-')) {
            assert!(self.scanner.contains(&format!("+{stop}")), "{:?}", self.scanner);
        }
    }
}

/// Plays one order of moves. Returns how many moves were possible at each step, and the events that Scanner has.
fn run(script: &[Happening], trouble: Trouble, choices: &[usize]) -> (Vec<usize>, BTreeSet<String>) {
    let (mut model, mut open) = (Model::default(), Vec::new());
    loop {
        let moves = model.moves(script, trouble);
        // A crash is never the only thing left to do.
        if moves.iter().all(|next| matches!(next, Move::Crash(_))) {
            // What a list left out for a late inspection, the next list says.
            if trouble != Trouble::Late || std::mem::replace(&mut model.was_listed, true) {
                break;
            }
            model.offer_list(script);
            model.plan();
            continue;
        }
        let choice = choices.get(open.len()).copied().unwrap_or(0);
        open.push(moves.len());
        model.play(moves[choice], script);
        let buffered = model.outbox.len();
        assert_eq!(model.observed, model.delivered + model.duplicate + buffered, "{choices:?}");
        assert!(open.len() < 200, "the script ends");
    }
    model.check_end(script);
    (open, model.scanner)
}

/// Plays all orders. Without a crash Scanner has exactly the expected events, whatever the order.
fn check(script: &[Happening], expected: &[&str]) {
    for trouble in [Trouble::None, Trouble::LostAnswer, Trouble::Crash, Trouble::Late] {
        let (mut choices, mut orders) = (Vec::new(), 0_u64);
        loop {
            let (open, events) = run(script, trouble, &choices);
            if trouble != Trouble::Crash {
                assert!(events.iter().eq(expected), "{choices:?}: {events:?}");
            }
            orders += 1;
            // The next order counts up the last choice that has another alternative.
            choices.resize(open.len().min(DEPTH), 0);
            while let Some(last) = choices.pop() {
                if last + 1 < open[choices.len()] {
                    choices.push(last + 1);
                    break;
                }
            }
            if choices.is_empty() {
                break;
            }
        }
        assert!(orders > 100, "{orders} orders with {trouble:?}");
    }
}

#[test]
fn two_workloads_that_start_and_stop() {
    let script = [
        Happening { report: Some(|| started("a", 1)), running: &[("a", 1)] },
        Happening { report: Some(|| started("b", 2)), running: &[("a", 1), ("b", 2)] },
        Happening { report: Some(|| stopped("a", 1)), running: &[("b", 2)] },
        Happening { report: Some(|| stopped("b", 2)), running: &[] },
    ];
    check(&script, &["+a1", "+b2", "-a1", "-b2"]);
}

#[test]
fn a_run_that_replaces_another_whose_exit_was_lost() {
    let script = [
        Happening { report: Some(|| started("a", 1)), running: &[("a", 1)] },
        Happening { report: None, running: &[] },
        Happening { report: Some(|| started("a", 2)), running: &[("a", 2)] },
        Happening { report: Some(|| stopped("a", 1)), running: &[("a", 2)] },
    ];
    check(&script, &["+a1", "+a2", "-a1"]);
}

#[test]
fn a_list_that_reports_what_the_stream_lost() {
    let script = [
        Happening { report: Some(|| started("a", 1)), running: &[("a", 1)] },
        Happening { report: None, running: &[("a", 1), ("b", 2)] },
        Happening { report: None, running: &[("b", 2)] },
        Happening { report: Some(|| listed(Engine::Host, &[("b", 2)])), running: &[("b", 2)] },
        Happening { report: Some(|| started("b", 2)), running: &[("b", 2)] },
    ];
    check(&script, &["+a1", "+b2", "-a1"]);
}

#[test]
fn a_report_that_comes_after_its_run_has_stopped() {
    let script = [
        Happening { report: Some(|| started("a", 1)), running: &[("a", 1)] },
        Happening { report: Some(|| stopped("a", 1)), running: &[] },
        Happening { report: Some(|| started("a", 1)), running: &[] },
        Happening { report: Some(|| listed(Engine::Host, &[])), running: &[] },
    ];
    check(&script, &["+a1", "-a1"]);
}

#[test]
fn a_look_comes_between_its_workloads_start_and_stop() {
    let script = [
        Happening { report: Some(|| started("a", 1)), running: &[("a", 1)] },
        Happening { report: Some(|| look("a", 1)), running: &[("a", 1)] },
        Happening { report: Some(|| started("b", 2)), running: &[("a", 1), ("b", 2)] },
        Happening { report: Some(|| stopped("a", 1)), running: &[("b", 2)] },
        Happening { report: Some(|| look("a", 1)), running: &[("b", 2)] },
    ];
    check(&script, &["+a1", "+b2", "-a1", "?a1"]);
}
