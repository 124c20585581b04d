//! Tests of corner cases that random sessions rarely reach.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::{Fault, SimDisk};
use super::{Oracle, Random, Session, options, remember_classes};
use crate::entry::Durability;
use crate::error::Error;
use crate::kind::Kind;
use crate::options::{BufferOptions, KindPolicy, WhenFull};
use crate::worker::Next;

/// One class, room for seven records of 500 bytes in memory, and a commit for each record.
fn settings() -> BufferOptions {
    let mut settings = options(&mut Random::new(4));
    settings.policies.clear();
    settings.ring_bytes = 4096;
    settings.commit = crate::Commit::Group { records_max: 1, interval: Duration::from_millis(10) };
    remember_classes(&settings);
    settings
}

#[test]
fn what_was_dropped_from_memory_is_never_called_safe() {
    let mut session = Session::begin(&SimDisk::new(), &settings()).expect("opens");
    let producer = session.producer.clone();
    let mut durable = pin!(producer.push_durable(Kind(0), &[7; 500], Durability::Power));
    let mut context = Context::from_waker(Waker::noop());
    assert!(durable.as_mut().poll(&mut context).is_pending());
    (0..20).for_each(|_| assert!(producer.push(Kind(0), &[8; 500]).seq().is_some()));
    // The consumer settles the gap first. After that the lane no longer knows that the record was dropped.
    session.consumer.try_next_batch(1, 1000).expect("the gap").ack();
    session.settle();
    let polled = durable.as_mut().poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Err(Error::Dropped { seq: 1 }))), "{polled:?}");
}

#[test]
fn room_that_one_class_makes_is_for_all() {
    let mut settings = settings();
    settings.bytes_max = 128 << 10;
    settings.default_policy.when_full = WhenFull::Refuse;
    settings.policies.insert(Kind(1), KindPolicy { when_full: WhenFull::Refuse, class: 1 });
    remember_classes(&settings);
    let mut session = Session::begin(&SimDisk::new(), &settings).expect("opens");
    let fill = |session: &mut Session, kind, records| {
        for _ in 0..records {
            if session.producer.push(kind, &[7; 500]).seq().is_none() {
                return false;
            }
            session.settle();
        }
        true
    };
    assert!(fill(&mut session, Kind(0), 40));
    assert!(!fill(&mut session, Kind(1), 1000), "it is full some day");
    for _ in 0..40 {
        let batch = session.consumer.try_next_batch(1, 1000).map(|batch| (batch.class(), batch.ack()));
        assert!(matches!(batch, None | Some((0, 1))), "{batch:?}");
        session.settle();
    }
    assert!(fill(&mut session, Kind(1), 20));
}

#[test]
fn a_file_in_which_a_write_failed_gives_back_its_room() {
    let mut settings = settings();
    (settings.bytes_max, settings.segment_bytes) = (1 << 20, 64 << 10);
    let disk = SimDisk::new();
    let mut session = Session::begin(&disk, &settings).expect("opens");
    assert!(session.producer.push(Kind(0), &[7; 500]).seq().is_some());
    session.settle();
    assert!(session.producer.stats().disk_bytes > 64 << 10, "with what is reserved");
    disk.fail(0..1, Fault::Kind(std::io::ErrorKind::Other));
    assert!(session.producer.push(Kind(0), &[7; 500]).seq().is_some());
    session.step();
    let stats = session.producer.stats();
    assert_eq!((stats.in_memory, stats.disk_bytes), (1, (8 << 10) + (4 << 10)), "the cursor and a block");
}

#[test]
fn what_was_settled_in_memory_is_not_missing_after_a_power_cut() {
    for seed in 0..50 {
        let (disk, settings, mut oracle) = (SimDisk::new(), settings(), Oracle::default());
        let mut session = Session::begin(&disk, &settings).expect("opens");
        session.push(&mut oracle, Kind(0), 500);
        session.drain(&mut oracle);
        (0..7).for_each(|_| session.push(&mut oracle, Kind(0), 500));
        while session.consume(&mut oracle, 50, true) {}
        // These replace the records before, which are never written. The cursor is not due yet.
        (0..7).for_each(|_| session.push(&mut oracle, Kind(0), 500));
        session.step();
        session.note_safe(&mut oracle);
        let disk = disk.after_power_cut(&mut Random::new(seed));
        let mut session = Session::begin(&disk, &settings).expect("opens");
        session.drain(&mut oracle);
        oracle.check_nothing_missing();
        let stats = session.producer.stats();
        assert_eq!(stats.dropped.total(), 0, "seed {seed}: {stats}");
    }
}

#[test]
fn what_failed_before_there_was_a_directory_does_not_count_afterwards() {
    let (disk, mut settings) = (SimDisk::new(), settings());
    settings.on_unavailable = crate::OnUnavailable::MemoryOnly;
    // Room for the cursor, but not for a segment.
    disk.limit(Some(8 << 10));
    disk.fail(0..6, Fault::Kind(std::io::ErrorKind::Other));
    let mut session = Session::begin(&disk, &settings).expect("opens");
    assert!(session.producer.push(Kind(0), &[7; 500]).seq().is_some());
    let mut has_tried = false;
    loop {
        let next = session.step();
        has_tried |= disk.take_log().iter().any(|call| call.starts_with("create") && call.ends_with(".seg"));
        match next {
            Next::Wait(Some(at)) if has_tried => {
                assert_eq!(at - session.now, Duration::from_millis(50), "the first failure of its kind");
                return;
            }
            Next::Wait(Some(at)) => session.now = at,
            Next::Step => {}
            other => panic!("{other:?}"),
        }
    }
}
