//! Corners that a random life rarely comes to.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::{Fault, SimDisk};
use super::{Life, Random, Truth, config, remember_classes};
use crate::config::{Config, Policy, WhenFull};
use crate::entry::{Durability, Kind};
use crate::error::Error;
use crate::worker::Next;

/// One class, seven records of 500 bytes in memory, a commit whenever there is something.
fn settings() -> Config {
    let mut settings = config(&mut Random::new(4));
    settings.policies.clear();
    settings.ring_bytes = 4096;
    settings.commit = crate::Commit::Group { records_max: 1, interval: Duration::from_millis(10) };
    remember_classes(&settings);
    settings
}

#[test]
fn what_was_dropped_from_memory_is_never_called_safe() {
    let mut life = Life::begin(&SimDisk::new(), &settings()).expect("opens");
    let producer = life.producer.clone();
    let mut durable = pin!(producer.push_durable(Kind(0), &[7; 500], Durability::Power));
    let mut context = Context::from_waker(Waker::noop());
    assert!(durable.as_mut().poll(&mut context).is_pending());
    (0..20).for_each(|_| assert!(producer.push(Kind(0), &[8; 500]).seq().is_some()));
    // The consumer hears of the gap first, and then nothing tells any more that there was a record.
    life.consumer.try_next_batch(1, 1000).expect("the gap").ack();
    life.settle();
    let polled = durable.as_mut().poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Err(Error::Dropped { seq: 1 }))), "{polled:?}");
}

#[test]
fn room_that_one_class_makes_is_for_all() {
    let mut settings = settings();
    settings.bytes_max = 128 << 10;
    settings.default_policy.when_full = WhenFull::Refuse;
    settings.policies.insert(Kind(1), Policy { when_full: WhenFull::Refuse, class: 1 });
    remember_classes(&settings);
    let mut life = Life::begin(&SimDisk::new(), &settings).expect("opens");
    let fill = |life: &mut Life, kind, records| {
        for _ in 0..records {
            if life.producer.push(kind, &[7; 500]).seq().is_none() {
                return false;
            }
            life.settle();
        }
        true
    };
    assert!(fill(&mut life, Kind(0), 40));
    assert!(!fill(&mut life, Kind(1), 1000), "it is full some day");
    for _ in 0..40 {
        let batch = life.consumer.try_next_batch(1, 1000).map(|batch| (batch.class(), batch.ack()));
        assert!(matches!(batch, None | Some((0, 1))), "{batch:?}");
        life.settle();
    }
    assert!(fill(&mut life, Kind(1), 20));
}

#[test]
fn a_file_in_which_a_write_failed_gives_back_its_room() {
    let mut settings = settings();
    (settings.bytes_max, settings.segment_bytes) = (1 << 20, 64 << 10);
    let disk = SimDisk::new();
    let mut life = Life::begin(&disk, &settings).expect("opens");
    assert!(life.producer.push(Kind(0), &[7; 500]).seq().is_some());
    life.settle();
    assert!(life.producer.stats().disk_bytes > 64 << 10, "with what is reserved");
    disk.fail(0..1, Fault::Kind(std::io::ErrorKind::Other));
    assert!(life.producer.push(Kind(0), &[7; 500]).seq().is_some());
    life.step();
    let stats = life.producer.stats();
    assert_eq!((stats.in_memory, stats.disk_bytes), (1, (8 << 10) + (4 << 10)), "the cursor and a block");
}

#[test]
fn what_was_settled_in_memory_is_not_missing_after_a_power_cut() {
    for seed in 0..50 {
        let (disk, settings, mut truth) = (SimDisk::new(), settings(), Truth::default());
        let mut life = Life::begin(&disk, &settings).expect("opens");
        life.push(&mut truth, Kind(0), 500);
        life.drain(&mut truth);
        (0..7).for_each(|_| life.push(&mut truth, Kind(0), 500));
        while life.consume(&mut truth, 50, true) {}
        // These take the place of the ones before, which nobody ever writes. The books are not due yet.
        (0..7).for_each(|_| life.push(&mut truth, Kind(0), 500));
        life.step();
        life.note_safe(&mut truth);
        let disk = disk.after_power_cut(&mut Random::new(seed));
        let mut life = Life::begin(&disk, &settings).expect("opens");
        life.drain(&mut truth);
        truth.check_nothing_missing();
        let stats = life.producer.stats();
        assert_eq!(stats.dropped.total(), 0, "seed {seed}: {stats}");
    }
}

#[test]
fn what_failed_before_there_was_a_directory_does_not_count_afterwards() {
    let (disk, mut settings) = (SimDisk::new(), settings());
    settings.on_unavailable = crate::Unavailable::MemoryOnly;
    // Room for the cursor, not for a segment.
    disk.limit(Some(8 << 10));
    disk.fail(0..6, Fault::Kind(std::io::ErrorKind::Other));
    let mut life = Life::begin(&disk, &settings).expect("opens");
    assert!(life.producer.push(Kind(0), &[7; 500]).seq().is_some());
    let mut has_tried = false;
    loop {
        let next = life.step();
        has_tried |= disk.take_log().iter().any(|call| call.starts_with("create") && call.ends_with(".seg"));
        match next {
            Next::Wait(Some(at)) if has_tried => {
                assert_eq!(at - life.now, Duration::from_millis(50), "the first failure of its kind");
                return;
            }
            Next::Wait(Some(at)) => life.now = at,
            Next::Step => {}
            other => panic!("{other:?}"),
        }
    }
}
