//! What a workload can cause in any number is told once, and not faster than somebody can read it. Pure.
//!
//! Starts and stops are always told. Of everything else, what repeats a fact of the last hour is left out, and so is what
//! comes too fast. It is counted, and the workload's next event says how much there was
//! (docs/design/observer.md#how-much-does-one-workload-tell).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::vocabulary::Annotation;

use crate::hash::fingerprint;
use crate::losses::Reason;
use crate::token_bucket::TokenBucket;
use crate::tracker::LIVE_MAX;
use crate::workload::Noted;

/// A fact is told again after so long.
const REPEATED_AFTER: Duration = Duration::from_secs(3600);
/// The most facts of one workload that are remembered.
const FACTS_MAX: usize = 64;
/// The most workloads that are remembered.
const WORKLOADS_MAX: usize = 2 * LIVE_MAX;

/// What kind of thing a workload caused. A flood of one kind hides nothing of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A process came in that runs a program of the image.
    Session,
    /// A process came in that was not read, so that nobody knows what it runs. Probes may do that all the time.
    Unread,
    /// Files were loaded, or are not the image's.
    Files,
}

/// What a workload caused with this event, and a number for what the event says; `None` for an event that is always told.
pub(super) fn cause(event: &RuntimeEvent) -> Option<(Cause, u64)> {
    let has = |annotation: Annotation| event.annotations.contains_key(annotation.as_str());
    match event.kind {
        // Each session has an id of its own; what it runs may be the same.
        EventKind::Drift if has(Annotation::ExecId) => {
            let process = event.process.as_ref();
            let program = process.map(|process| (&process.entrypoint, &process.build_id));
            // Of a process that was not read nobody knows whether it is one that was told.
            let unread = program.is_none_or(|(arguments, id)| arguments.is_empty() && id.is_none());
            let program = (program, unread.then_some(&event.event_id));
            let new = event.delta.iter().flat_map(|delta| &delta.new_binaries);
            let new: Vec<_> = new.map(|binary| (&binary.path, &binary.sha256)).collect();
            let changed = event.delta.as_ref().map(|delta| &delta.changed_files);
            let cause = match unread {
                _ if event.delta.is_some() => Cause::Files,
                true => Cause::Unread,
                false => Cause::Session,
            };
            Some((cause, fingerprint(&(program, new, changed))))
        }
        EventKind::Drift => Some((Cause::Files, fingerprint(&event.event_id))),
        EventKind::ContainerStart if has(Annotation::Amends) => {
            Some((Cause::Files, fingerprint(&event.event_id)))
        }
        _ => None,
    }
}

/// What is left out, and what was.
#[derive(Debug)]
pub(super) struct Noise {
    of: HashMap<Noted, OfWorkload>,
    node: Buckets,
}

#[derive(Debug)]
struct OfWorkload {
    buckets: Buckets,
    /// The facts that were told last, as hashes.
    told: VecDeque<(u64, Instant)>,
    /// How many events were left out since the last one.
    left_out: u64,
}

#[derive(Debug)]
struct Buckets {
    sessions: TokenBucket,
    unread: TokenBucket,
    files: TokenBucket,
}

impl Noise {
    pub(super) fn new(now: Instant) -> Self {
        let node = Buckets {
            sessions: TokenBucket::new(5.0, 200, now),
            unread: TokenBucket::new(1.0, 50, now),
            files: TokenBucket::new(20.0, 500, now),
        };
        Self { of: HashMap::new(), node }
    }

    /// Whether an event is told, and why not. `fact` is equal for events that say the same.
    pub(super) fn admit(&mut self, run: &Noted, cause: Cause, fact: u64, now: Instant) -> Result<(), Reason> {
        let of = self.of(run, now);
        of.told.retain(|(_, at)| now.saturating_duration_since(*at) < REPEATED_AFTER);
        if of.told.iter().any(|(told, _)| *told == fact) {
            of.left_out += 1;
            return Err(Reason::Coalesced);
        }
        // One workload's flood takes nothing from the node's bucket.
        if !of.buckets.of(cause).take_one(now) || !self.node.of(cause).take_one(now) {
            self.of(run, now).left_out += 1;
            return Err(Reason::RateLimited);
        }
        let told = &mut self.of(run, now).told;
        told.truncate(FACTS_MAX - 1);
        told.push_front((fact, now));
        Ok(())
    }

    /// How many events of the workload were left out since this was asked last.
    pub(super) fn left_out(&mut self, run: &Noted) -> u64 {
        self.of.get_mut(run).map_or(0, |of| std::mem::take(&mut of.left_out))
    }

    /// The workload stopped.
    pub(super) fn stopped(&mut self, run: &Noted) {
        self.of.remove(run);
    }

    fn of(&mut self, run: &Noted, now: Instant) -> &mut OfWorkload {
        // So many do not run: these are of engines that are not followed any longer.
        if self.of.len() >= WORKLOADS_MAX && !self.of.contains_key(run) {
            self.of.clear();
        }
        self.of.entry(run.clone()).or_insert_with(|| OfWorkload {
            buckets: Buckets {
                sessions: TokenBucket::new(1.0 / 30.0, 20, now),
                unread: TokenBucket::new(1.0 / 300.0, 5, now),
                files: TokenBucket::new(1.0 / 30.0, 64, now),
            },
            told: VecDeque::new(),
            left_out: 0,
        })
    }
}

impl Buckets {
    fn of(&mut self, cause: Cause) -> &mut TokenBucket {
        match cause {
            Cause::Session => &mut self.sessions,
            Cause::Unread => &mut self.unread,
            Cause::Files => &mut self.files,
        }
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::clock::Timestamp;
    use zastava_core::vocabulary::Engine;

    use super::*;
    use crate::event::Node;
    use crate::inspect::{InspectError, ProcessFacts};
    use crate::workload::ExecSession;
    use crate::workload::tests::workload;

    fn run(key: &str) -> Noted {
        Noted { engine: Engine::Containerd, key: key.to_owned(), pid: Some(7) }
    }

    #[test]
    fn only_sessions_that_were_read_are_known_to_say_the_same() {
        let node = Node { tenant: "t".to_owned(), name: "n".to_owned(), boot_id: "b".to_owned() };
        let fact = |id: &str, found: Result<&ProcessFacts, &InspectError>| {
            let exec = ExecSession { id: id.to_owned(), pid: 9, at: Timestamp::UNIX_EPOCH };
            cause(&node.exec_event(&workload("a", 7), &exec, found))
        };
        let facts = ProcessFacts { arguments: vec!["/bin/sh".to_owned()], ..ProcessFacts::default() };
        assert_eq!(fact("e1", Ok(&facts)), fact("e2", Ok(&facts)));
        assert_ne!(fact("e1", Err(&InspectError::Ended)), fact("e2", Err(&InspectError::Ended)));
        assert_eq!(fact("e1", Err(&InspectError::Ended)), fact("e1", Err(&InspectError::NotInTime)));
    }

    #[test]
    fn a_fact_is_told_once_an_hour_with_the_number_of_those_between() {
        let start = Instant::now();
        let mut noise = Noise::new(start);
        let admit = |noise: &mut Noise, after| {
            noise.admit(&run("a"), Cause::Session, 1, start + Duration::from_secs(after))
        };
        assert_eq!(admit(&mut noise, 0), Ok(()));
        assert_eq!(noise.left_out(&run("a")), 0);
        for after in [10, 20, 3599] {
            assert_eq!(admit(&mut noise, after), Err(Reason::Coalesced));
        }
        assert_eq!(admit(&mut noise, 3600), Ok(()));
        assert_eq!((noise.left_out(&run("a")), noise.left_out(&run("a"))), (3, 0));
        // Another workload may say the same.
        assert_eq!(noise.admit(&run("b"), Cause::Session, 1, start), Ok(()));
    }

    #[test]
    fn a_flood_of_one_workload_hides_neither_its_files_nor_other_workloads() {
        let start = Instant::now();
        let mut noise = Noise::new(start);
        for (cause, wanted) in [(Cause::Unread, 5), (Cause::Session, 20)] {
            let told = (0..1000)
                .filter(|fact| noise.admit(&run("a"), cause, 10_000 * wanted as u64 + fact, start).is_ok());
            assert_eq!(told.count(), wanted);
            assert_eq!(noise.left_out(&run("a")), 1000 - wanted as u64);
        }
        assert_eq!(noise.admit(&run("a"), Cause::Files, 5000, start), Ok(()));
        assert_eq!(noise.admit(&run("b"), Cause::Session, 1, start), Ok(()));
        // What was left out was not told, so it is later.
        let later = start + Duration::from_secs(30);
        assert_eq!(noise.admit(&run("a"), Cause::Session, 999, later), Ok(()));
        assert_eq!(noise.admit(&run("a"), Cause::Session, 998, later), Err(Reason::RateLimited));
    }

    #[test]
    fn all_workloads_together_are_limited_too() {
        let start = Instant::now();
        let mut noise = Noise::new(start);
        let told = (0..1000)
            .filter(|fact| noise.admit(&run(&fact.to_string()), Cause::Session, *fact, start).is_ok());
        assert_eq!(told.count(), 200);
    }

    #[test]
    fn tables_stay_within_their_bounds() {
        let start = Instant::now();
        let mut noise = Noise::new(start);
        for fact in 0..WORKLOADS_MAX as u64 + 10 {
            let _ =
                noise.admit(&run(&fact.to_string()), Cause::Files, fact, start + Duration::from_secs(fact));
        }
        assert!(noise.of.len() <= WORKLOADS_MAX);
        let last = start + Duration::from_secs(WORKLOADS_MAX as u64 + 10);
        for fact in 0..FACTS_MAX as u64 + 10 {
            assert_eq!(
                noise.admit(&run("a"), Cause::Files, fact, last + Duration::from_secs(30 * fact)),
                Ok(())
            );
        }
        assert_eq!(noise.of[&run("a")].told.len(), FACTS_MAX);
        noise.stopped(&run("a"));
        assert!(!noise.of.contains_key(&run("a")));
    }
}
