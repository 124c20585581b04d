//! Futures that are dropped half-way, and who is woken when.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use zastava_buffer::{Buffer, Commit, Disk, Durability, Error, Kind, StorageHealth, WhenFull, block_on};

use crate::support::{Hooked, close, drain, fill, open, scratch, small};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls the future once and drops it.
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
    let mut options = small();
    options.default_policy.when_full = WhenFull::Refuse;
    let (producer, mut consumer, _) = open(directory.path(), options);
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

#[test]
fn when_the_thread_is_gone_nobody_waits_for_it() {
    let directory = scratch();
    let path = directory.path().to_owned();
    // As a bug in somebody's own store would.
    let panicking = move || {
        Ok(Hooked {
            disk: Disk::open(&path, 0)?,
            before_read: |_, _, _| Ok(()),
            before_write: |bytes| assert!(!bytes.windows(4).any(|part| part == b"boom"), "as planned"),
        })
    };
    let (producer, mut consumer, _) = Buffer::open_store(panicking, small()).expect("opened");
    let durable = block_on(producer.push_durable(Kind(1), b"boom", Durability::Power));
    assert!(matches!(durable, Err(Error::NotDurable)), "{durable:?}");
    assert!(matches!(producer.health(), StorageHealth::Degraded { .. }));
    assert!(block_on(producer.push_wait(Kind(1), b"more")).is_err());
    assert!(block_on(producer.flush(Durability::Process)).is_err());
    assert_eq!(block_on(consumer.next_batch(10, 1000)).expect("is in memory").ack(), 1);
    assert!(block_on(consumer.next_batch(10, 1000)).is_none());
    assert!(producer.close(Duration::MAX).0, "the thread is gone");
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_closing() {
    struct Panicking;
    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            panic!("as planned");
        }
    }
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    let waker = Waker::from(Arc::new(Panicking));
    let mut next = pin!(consumer.next_batch(10, 1000));
    assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let (sender, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(producer.close(Duration::MAX).0));
    assert_eq!(closed.recv_timeout(Duration::from_secs(60)), Ok(true));
}

#[test]
fn an_interval_without_end_is_one() {
    let directory = scratch();
    let mut options = small();
    options.commit = Commit::Group { records_max: 10, interval: Duration::MAX };
    let (producer, mut consumer, _) = open(directory.path(), options);
    for seq in 1..=25 {
        fill(&producer, [seq]);
        if seq % 7 == 0 {
            crate::support::flush(&producer);
        }
    }
    assert_eq!(drain(&mut consumer).records.len(), 25);
    assert_eq!(close(&producer).acked, 25);
}
