//! Two buffers, one directory.

use std::time::Duration;

use zastava_buffer::{Buffer, Cause, Durability, Error, Health, Kind, block_on};

use crate::support::{close, drain, fill, flush, open, patient, recovered, scratch, small};

#[test]
fn a_second_opener_is_told_at_once_who_holds_it() {
    let directory = scratch();
    let (producer, ..) = open(directory.path(), small());
    match Buffer::open(directory.path(), small()) {
        Err(Error::Locked { path, holder }) => {
            assert_eq!(path, directory.path().join("lock"));
            assert_eq!(holder, format!("process {}", std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    close(&producer);
    let (producer, ..) = open(directory.path(), small());
    close(&producer);
}

#[test]
fn a_successor_takes_over_with_all_it_has() {
    let directory = scratch();
    let (first, _consumer, _) = open(directory.path(), small());
    fill(&first, 1..=20);
    flush(&first);
    let config = patient();
    let (second, mut consumer, report) = open(directory.path(), config);
    assert_eq!(report.unavailable, Some(Cause::Locked));
    let locked = second.health();
    assert!(matches!(locked, Health::Degraded { cause: Cause::Locked, .. }));
    for number in 1..=10_u8 {
        assert_eq!(second.push(Kind(number), b"from memory").seq(), Some(u64::from(number)));
    }
    assert!(matches!(
        block_on(second.push_durable(Kind(11), b"from memory", Durability::Process)),
        Err(Error::NotDurable)
    ));
    // Some are delivered and acknowledged before there is a directory.
    let batch = block_on(consumer.next_batch(3, 1 << 20)).expect("open");
    assert_eq!(batch.ack(), 3);
    assert_eq!(second.stats().acked, 3);
    // One batch is out while the directory is taken over: it comes again.
    let out = block_on(consumer.next_batch(2, 1 << 20)).expect("open");
    close(&first);
    assert_eq!(block_on(second.health_changed(locked)), Health::Ok);
    assert_eq!(out.ack(), 0);
    let stats = second.stats();
    assert!(stats.is_balanced(), "{stats}");
    assert_eq!((stats.accepted, stats.acked, stats.pending), (31, 3, 28));
    flush(&second);
    let drained = drain(&mut consumer);
    assert_eq!((drained.seqs(), drained.lost()), ((1..=28).collect(), 0));
    assert_eq!(close(&second).acked, 31);
    let (again, _consumer, report) = open(directory.path(), small());
    assert_eq!((report.pending, again.stats().accepted, again.stats().is_balanced()), (0, 31, true));
    close(&again);
}

#[test]
fn dropping_every_end_writes_what_is_in_memory() {
    let directory = scratch();
    let (producer, consumer, _) = open(directory.path(), small());
    fill(&producer, 1..=10);
    drop((producer, consumer));
    // Nobody waits for the thread; the lock is free when it is done.
    let config = patient();
    let (producer, mut consumer, _) = open(directory.path(), config);
    recovered(&producer);
    assert_eq!(drain(&mut consumer).records.len(), 10);
    assert!(producer.close(Duration::from_secs(600)).0);
}
