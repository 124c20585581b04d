//! Every order in which producer, consumer and worker can take their steps.
//!
//! All shared state is under one lock, and each thread holds it for a whole step. So runs of real threads differ only in
//! the order of steps. This test tries all orders of a short scenario. In each it checks what loom would check: nobody
//! sleeps while there is work for them, and the counts balance.
//!
//! docs/design/buffer.md#why-no-loom

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::disk::SimDisk;
use super::{Oracle, Random, Session, options, remember_classes};
use crate::entry::Durability;
use crate::error::Error;
use crate::kind::Kind;
use crate::options::Commit;
use crate::worker::Next;

/// Choices beyond this depth take the first participant that can go on.
const DEPTH: usize = 14;
const RECORDS: u32 = 2;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A task that runs when it is woken.
struct Sleeper {
    flag: Arc<Flag>,
    is_done: bool,
}

impl Sleeper {
    fn new() -> Self {
        Self { flag: Arc::new(Flag(AtomicBool::new(true))), is_done: false }
    }

    fn is_awake(&self) -> bool {
        !self.is_done && self.flag.0.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        self.flag.0.store(true, Ordering::SeqCst);
    }

    /// Runs one poll, which returns whether the task is done.
    fn run(&mut self, poll: impl FnOnce(&mut Context<'_>) -> bool) {
        self.flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.flag));
        self.is_done = poll(&mut Context::from_waker(&waker));
    }
}

#[derive(Clone, Copy, Debug)]
enum Participant {
    Producer,
    Consumer,
    Flusher,
    Worker,
}

/// Two pushes, a consumer that takes both, a flush that waits for the disk, and a worker that sleeps like a thread.
struct Scenario {
    session: Session,
    oracle: Oracle,
    pushed: u32,
    taken: u32,
    consumer: Sleeper,
    flusher: Sleeper,
    is_worker_asleep: bool,
}

impl Scenario {
    fn begin(commit: Commit) -> Self {
        let mut options = options(&mut Random::new(4));
        options.policies.clear();
        options.commit = commit;
        remember_classes(&options);
        Self {
            session: Session::begin(&SimDisk::new(), &options).expect("opens"),
            oracle: Oracle::default(),
            pushed: 0,
            taken: 0,
            consumer: Sleeper::new(),
            flusher: Sleeper::new(),
            is_worker_asleep: false,
        }
    }

    /// Returns who can take the next step.
    fn able(&self) -> Vec<Participant> {
        let can = [
            (Participant::Producer, self.pushed < RECORDS),
            (Participant::Consumer, self.consumer.is_awake()),
            (Participant::Flusher, self.pushed > 0 && self.flusher.is_awake()),
            (Participant::Worker, !self.is_worker_asleep || !self.session.is_worker_idle()),
        ];
        can.into_iter().filter_map(|(who, can)| can.then_some(who)).collect()
    }

    fn step(&mut self, who: Participant, flush: Pin<&mut impl Future<Output = Result<(), Error>>>) {
        match who {
            Participant::Producer => {
                self.session.push(&mut self.oracle, Kind(0), 10);
                self.pushed += 1;
            }
            Participant::Consumer => self.consume(),
            Participant::Flusher => self.flusher.run(|context| flush.poll(context).is_ready()),
            Participant::Worker => match self.session.step() {
                Next::Step => self.is_worker_asleep = false,
                Next::Wait(Some(_)) => {
                    self.session.pass(Duration::from_millis(10));
                    self.is_worker_asleep = self.session.is_worker_idle();
                }
                _ => self.is_worker_asleep = true,
            },
        }
    }

    fn consume(&mut self) {
        let before = self.taken;
        self.consumer.run(|context| {
            let mut next = pin!(self.session.consumer.next_batch(1, 1000));
            if let Poll::Ready(Some(batch)) = next.as_mut().poll(context) {
                batch.ack();
                self.taken += 1;
            }
            self.taken == RECORDS
        });
        if self.taken > before {
            // A consumer asks for the next batch at once, as a loop does.
            self.consumer.wake();
        }
    }

    fn check(&self, choices: &[u8]) {
        let all_done = self.consumer.is_done && self.flusher.is_done && self.taken == RECORDS;
        assert!(all_done, "somebody sleeps for ever: {choices:?}");
        let stats = self.session.producer.stats();
        assert_eq!((stats.accepted, stats.acked, stats.is_balanced()), (2, 2, true));
    }
}

/// Runs the scenario in the order that `choices` says. Returns how many participants could go on at each step.
fn run(commit: Commit, choices: &[u8]) -> Vec<u8> {
    let mut scenario = Scenario::begin(commit);
    let producer = scenario.session.producer.clone();
    let mut flush = pin!(producer.flush(Durability::Power));
    let mut open = Vec::new();
    loop {
        let able = scenario.able();
        if able.is_empty() {
            break;
        }
        let choice = choices.get(open.len()).copied().unwrap_or(0);
        open.push(able.len() as u8);
        scenario.step(able[usize::from(choice)], flush.as_mut());
        assert!(open.len() < 200, "the scenario ends");
    }
    scenario.check(choices);
    open
}

fn run_all(commit: Commit) {
    let mut choices: Vec<u8> = Vec::new();
    let mut orders = 0_u64;
    loop {
        let open = run(commit, &choices);
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
    super::report(&format!("{orders} orders of steps, {commit:?}"));
    assert!(orders > 1_000);
}

#[test]
fn nobody_sleeps_for_ever_in_any_order_of_steps() {
    run_all(Commit::Group { records_max: 1, interval: Duration::from_millis(10) });
}

/// Neither time nor the number of records makes a commit due here.
#[test]
fn a_flush_wakes_the_worker_in_any_order_of_steps() {
    run_all(Commit::Group { records_max: u32::MAX, interval: Duration::MAX });
}
