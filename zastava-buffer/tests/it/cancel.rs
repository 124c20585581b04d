//! Futures that are dropped half-way, and those who wait in the right order of events.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use zastava_buffer::{Durability, Kind, WhenFull, block_on};

use crate::support::{close, drain, open, scratch, small};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once and lets go.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let future = pin!(future);
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_dropped_wait_for_a_batch_takes_nothing() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    for _ in 0..100 {
        assert!(poll_once(consumer.next_batch(10, 1000)).is_pending());
    }
    for number in 0..50_u8 {
        assert!(producer.push(Kind(0), &[number]).seq().is_some());
        let _ = poll_once(consumer.next_batch(10, 1000));
    }
    assert_eq!(drain(&mut consumer).records.len(), 50);
    close(&producer);
}

#[test]
fn a_dropped_push_happened_or_did_not() {
    let directory = scratch();
    let mut config = small();
    config.default_policy.when_full = WhenFull::Refuse;
    let (producer, mut consumer, _) = open(directory.path(), config);
    let mut accepted = 0;
    while let Poll::Ready(pushed) = poll_once(producer.push_wait(Kind(0), &[7; 900])) {
        pushed.expect("accepted");
        accepted += 1;
    }
    for _ in 0..10 {
        let _ = poll_once(producer.flush(Durability::Power));
        assert!(poll_once(producer.push_wait(Kind(0), &[7; 900])).is_pending(), "there is no room");
    }
    assert_eq!(producer.stats().accepted, accepted);
    // One that waits for the disk has been accepted all the same.
    assert_eq!(drain(&mut consumer).records.len() as u64, accepted);
    let _ = poll_once(producer.push_durable(Kind(0), b"x", Durability::Power));
    let happened = producer.stats().accepted - accepted;
    assert!(happened <= 1);
    assert_eq!(drain(&mut consumer).records.len() as u64, happened);
    close(&producer);
}

#[test]
fn a_waiting_consumer_is_woken_by_a_push() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    {
        let mut next = pin!(consumer.next_batch(10, 1000));
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        assert!(producer.push(Kind(0), b"x").seq().is_some());
        assert!(count.0.load(Ordering::SeqCst) > 0);
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
    close(&producer);
}

#[test]
fn closing_ends_those_who_wait() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(consumer.next_batch(10, 1000)).is_none());
        close(&producer);
        assert!(waiting.join().expect("no panic"));
    });
}
