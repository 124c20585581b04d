//! Every order in which producer, consumer and worker can meet.
//!
//! All they share is under one lock, so each holds it for whole steps, and what can differ between runs of real
//! threads is the order of these steps. This goes through all orders of a short session, and in each asks for what
//! a loom would: nobody sleeps while there is something for them, and the books balance.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::disk::SimDisk;
use super::{Oracle, Random, Session, options, remember_classes};
use crate::entry::Durability;
use crate::kind::Kind;
use crate::options::Commit;
use crate::worker::Next;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Somebody who runs when woken.
struct Sleeper {
    flag: Arc<Flag>,
    is_done: bool,
}

impl Sleeper {
    fn new() -> Self {
        Self { flag: Arc::new(Flag(AtomicBool::new(true))), is_done: false }
    }

    /// Polls if it was woken; whether it did.
    fn run(&mut self, poll: impl FnOnce(&mut Context<'_>) -> bool) -> bool {
        if self.is_done || !self.flag.0.swap(false, Ordering::SeqCst) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.flag));
        self.is_done = poll(&mut Context::from_waker(&waker));
        true
    }
}

/// Two pushes; a consumer that takes both; a flush that waits for the disk; the worker, which sleeps like a thread.
/// `choices` says who goes next; the choices that were open are returned.
fn run(commit: Commit, choices: &[u8]) -> Vec<u8> {
    let mut settings = options(&mut Random::new(4));
    settings.policies.clear();
    settings.commit = commit;
    remember_classes(&settings);
    let mut session = Session::begin(&SimDisk::new(), &settings).expect("opens");
    let producer = session.producer.clone();
    let mut oracle = Oracle::default();
    let (mut pushes, mut taken, mut worker_sleeps) = (0, 0, false);
    let (mut consumer, mut flusher) = (Sleeper::new(), Sleeper::new());
    let mut flush = pin!(producer.flush(Durability::Power));
    let mut open = Vec::new();
    for step in 0.. {
        // Who can go on: 0 pushes, 1 consumes, 2 waits for the disk, 3 is the worker.
        let can_push = pushes < 2;
        let can_consume = !consumer.is_done && consumer.flag.0.load(Ordering::SeqCst);
        let can_flush = pushes > 0 && !flusher.is_done && flusher.flag.0.load(Ordering::SeqCst);
        let can_work = !worker_sleeps || !session.is_worker_idle();
        let able: Vec<u8> = [can_push, can_consume, can_flush, can_work]
            .iter()
            .zip(0..)
            .filter_map(|(can, who)| can.then_some(who))
            .collect();
        if able.is_empty() {
            break;
        }
        let choice = choices.get(step).copied().unwrap_or(0);
        open.push(able.len() as u8);
        match able[usize::from(choice)] {
            0 => {
                session.push(&mut oracle, Kind(0), 10);
                pushes += 1;
            }
            1 => {
                let mut got = 0;
                consumer.run(|context| {
                    let mut next = pin!(session.consumer.next_batch(1, 1000));
                    if let Poll::Ready(Some(batch)) = next.as_mut().poll(context) {
                        batch.ack();
                        got = 1;
                    }
                    taken + got == 2
                });
                taken += got;
                if got == 1 {
                    // It goes on at once, as a loop does.
                    consumer.flag.0.store(true, Ordering::SeqCst);
                }
            }
            2 => drop(flusher.run(|context| flush.as_mut().poll(context).is_ready())),
            _ => match session.step() {
                Next::Step => worker_sleeps = false,
                Next::Wait(Some(_)) => {
                    session.pass(Duration::from_millis(10));
                    worker_sleeps = session.is_worker_idle();
                }
                _ => worker_sleeps = true,
            },
        }
        assert!(step < 200, "it comes to an end");
    }
    assert!(consumer.is_done && flusher.is_done && taken == 2, "somebody sleeps for ever: {choices:?}");
    let stats = session.producer.stats();
    assert_eq!((stats.accepted, stats.acked, stats.is_balanced()), (2, 2, true));
    open
}

fn run_all(commit: Commit) {
    const DEPTH: usize = 14;
    let mut choices: Vec<u8> = Vec::new();
    let mut orders = 0_u64;
    loop {
        let open = run(commit, &choices);
        orders += 1;
        // The next order: count up the last choice that has another one.
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

/// Neither time nor number makes a commit due.
#[test]
fn a_flush_wakes_the_one_who_does_it_in_any_order_of_steps() {
    run_all(Commit::Group { records_max: u32::MAX, interval: Duration::MAX });
}
