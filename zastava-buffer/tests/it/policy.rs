//! What happens when there is no room: on disk and in memory, by kind and class.

use zastava_buffer::{
    Buffer, BufferOptions, DropReason, Durability, Error, Kind, KindPolicy, PushOutcome, RefusalReason,
    StorageHealth, StorageProblem, WhenFull, block_on,
};

use crate::support::{
    check_disk, close, drain, fill, flush, open, payload, recovered, roomy, scratch, segments, small,
};

const IMPORTANT: Kind = Kind(1);
const CHATTER: Kind = Kind(2);

fn refusing() -> BufferOptions {
    let mut options = small();
    options.default_policy.when_full = WhenFull::Refuse;
    options
}

#[test]
fn the_oldest_go_by_segment_and_are_told_in_their_place() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    let mut told = 0;
    for seq in 1..=2000 {
        if let PushOutcome::Evicted { count, .. } = producer.push(crate::support::kind(seq), &payload(seq)) {
            told += count;
        }
        block_on(producer.flush(Durability::Process)).expect("the disk works");
        let stats = producer.stats();
        assert!(stats.is_balanced() && stats.disk_bytes <= 64 << 10, "{stats}");
        check_disk(directory.path(), 64 << 10);
    }
    let dropped = producer.stats().dropped;
    assert!(dropped.total() > 500 && told <= dropped.total());
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(drained.gaps[0].first_seq, 1);
    assert_eq!(drained.lost(), dropped.total());
    for kind in [Kind(0), Kind(1), Kind(2)] {
        let here =
            drained.gaps.iter().map(|gap| gap.counts.count(Some(kind), DropReason::Evicted)).sum::<u64>();
        assert_eq!(here, dropped.count(Some(kind), DropReason::Evicted), "{kind:?}");
    }
    close(&producer);
}

#[test]
fn where_nothing_may_be_dropped_pushes_are_refused_until_there_is_room() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), refusing());
    let mut accepted = 0;
    while !matches!(producer.push(IMPORTANT, &[7; 500]), PushOutcome::Refused(RefusalReason::Full)) {
        accepted += 1;
        assert!(accepted < 100_000);
        // Until the disk is full and then memory is.
    }
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.pending, stats.dropped.total()), (accepted, accepted, 0));
    assert_eq!(stats.refused.count(Some(IMPORTANT), DropReason::Full), 1);
    check_disk(directory.path(), 64 << 10);
    // Somebody waits for room; taking records out makes it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(producer.push_wait(IMPORTANT, &[7; 500])));
        let drained = drain(&mut consumer);
        assert!(drained.records.len() as u64 >= accepted && drained.lost() == 0);
        assert_eq!(waiting.join().expect("no panic").ok(), Some(accepted + 1));
    });
    close(&producer);
}

#[test]
fn the_lower_class_goes_first_and_never_the_higher_one() {
    let directory = scratch();
    let mut options = small();
    options.bytes_max = 128 << 10;
    options.policies.insert(CHATTER, KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    let (producer, mut consumer, _) = open(directory.path(), options.clone());
    let push = |kind, count| {
        for _ in 0..count {
            block_on(producer.push_durable(kind, &[kind.0; 500], Durability::Process))
                .expect("the disk works");
        }
    };
    push(IMPORTANT, 80);
    push(CHATTER, 400);
    push(IMPORTANT, 80);
    let dropped = producer.stats().dropped;
    assert_eq!(dropped.count(Some(IMPORTANT), DropReason::Evicted), 0);
    assert!(dropped.count(Some(CHATTER), DropReason::Evicted) > 300, "{dropped:?}");
    flush(&producer);
    let mut classes = Vec::new();
    while !consumer.is_drained() {
        let batch = block_on(consumer.next_batch(50, 1 << 20)).expect("open");
        classes.push(batch.class());
        batch.ack();
    }
    assert!(classes.is_sorted() && classes.contains(&1), "what matters more comes first: {classes:?}");
    close(&producer);
    check_disk(directory.path(), options.bytes_max);
}

#[test]
fn a_record_that_is_too_long_is_refused_alone() {
    let directory = scratch();
    let (producer, _consumer, _) = open(directory.path(), small());
    assert_eq!(producer.push(IMPORTANT, &[0; 3001]), PushOutcome::Refused(RefusalReason::TooLarge));
    let waited = block_on(producer.push_wait(IMPORTANT, &[0; 3001]));
    assert!(matches!(waited, Err(Error::Refused(RefusalReason::TooLarge))));
    assert!(producer.push(IMPORTANT, &[0; 3000]).seq().is_some());
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.refused.count(Some(IMPORTANT), DropReason::TooLarge)), (1, 2));
    close(&producer);
    assert_eq!(producer.push(IMPORTANT, b"late"), PushOutcome::Refused(RefusalReason::Closed));
}

#[test]
fn a_lowered_cap_drops_the_oldest_at_open() {
    let directory = scratch();
    let mut options = small();
    options.bytes_max = 1 << 20;
    let (producer, _consumer, _) = open(directory.path(), options);
    fill(&producer, 1..=2000);
    close(&producer);
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert!(report.evicted > 500 && report.evicted + report.pending == 2000, "{report:?}");
    check_disk(directory.path(), 64 << 10);
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert!(
        drained.gaps[0]
            .counts
            .iter()
            .all(|(kind, reason, _)| kind.is_some() && reason == DropReason::CapLowered)
    );
    assert_eq!(drained.lost(), report.evicted);
    close(&producer);
}

#[test]
fn without_a_directory_memory_keeps_what_it_can() {
    let mut options = small();
    (options.ring_bytes, options.record_bytes_max) = (8 << 10, 1000);
    let (producer, mut consumer, _) = Buffer::in_memory(options).expect("needs no disk");
    for seq in 1..=500 {
        assert_eq!(producer.push(crate::support::kind(seq), &payload(seq)).seq(), Some(seq));
        let stats = producer.stats();
        assert!(stats.is_balanced() && stats.ring_bytes <= 8 << 10, "{stats}");
    }
    assert!(block_on(producer.push_durable(Kind(1), &payload(501), Durability::Process)).is_err());
    let drained = drain(&mut consumer);
    assert!(drained.lost() > 300 && drained.lost() + drained.records.len() as u64 == 501);
    assert_eq!(drained.records.last().map(|record| record.seq), Some(501));
    close(&producer);
}

#[test]
fn contradictions_are_refused_at_open() {
    let directory = scratch();
    type Change = fn(&mut BufferOptions);
    let changes: [(&str, Change); 6] = [
        ("bytes_max", |options| options.bytes_max = 1000),
        ("segment_bytes", |options| options.segment_bytes = 60 << 10),
        ("record_bytes_max", |options| options.record_bytes_max = 1 << 20),
        ("ring_bytes", |options| options.ring_bytes = 10),
        ("batches_max", |options| options.batches_max = 0),
        ("class", |options| options.default_policy.class = 8),
    ];
    for (expected, change) in changes {
        let mut options = small();
        change(&mut options);
        match Buffer::open(directory.path(), options) {
            Err(Error::InvalidOption { option, .. }) => assert_eq!(option, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    for bytes_max in [64 << 10, 1 << 20, 4 << 20, 1 << 40] {
        let mut options = BufferOptions::new(bytes_max);
        options.free_percent_min = 0;
        let (producer, ..) = open(scratch().path(), options);
        close(&producer);
    }
    assert!(segments(directory.path()).is_empty());
}

#[test]
fn what_is_settled_goes_before_what_is_not() {
    for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
        let directory = scratch();
        let mut options = roomy(128 << 10, 28 << 10);
        options.record_bytes_max = 16 << 10;
        options.policies.insert(Kind(0), KindPolicy { when_full, class: 0 });
        options.policies.insert(Kind(1), KindPolicy { when_full, class: 1 });
        let (producer, mut consumer, _) = open(directory.path(), options);
        let push = |kind: u8, bytes| {
            block_on(producer.push_wait(Kind(kind), &vec![kind; bytes])).expect("accepted");
            flush(&producer);
        };
        push(0, 15 << 10);
        assert_eq!(drain(&mut consumer).records.len(), 1);
        (0..4).for_each(|_| push(1, 15 << 10));
        // The segment that is written to is settled; without it there is room.
        push(0, 15 << 10);
        let stats = close(&producer);
        assert_eq!((stats.pending, stats.dropped.total()), (5, 0), "{stats}");
    }
}

#[test]
fn a_cap_that_is_taken_by_what_is_set_aside_is_said() {
    let directory = scratch();
    std::fs::create_dir(directory.path().join("aside")).expect("created");
    std::fs::write(directory.path().join("aside/old.seg"), vec![0; 60 << 10]).expect("written");
    for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
        let mut options = small();
        options.default_policy.when_full = when_full;
        let (producer, mut consumer, _) = open(directory.path(), options);
        for _ in 0..3 {
            block_on(producer.push_wait(CHATTER, b"more")).expect("memory has room");
            assert!(matches!(block_on(producer.flush(Durability::Power)), Err(Error::NotDurable)));
            assert!(matches!(
                producer.health(),
                StorageHealth::Degraded { cause: StorageProblem::NoSpace, .. }
            ));
            assert_eq!(drain(&mut consumer).records.len(), 1, "from memory");
        }
        close(&producer);
    }
}

#[test]
fn memory_alone_has_room_again_when_records_are_acknowledged() {
    let mut options = refusing();
    (options.ring_bytes, options.record_bytes_max) = (8 << 10, 1000);
    let (producer, mut consumer, _) = Buffer::in_memory(options).expect("needs no disk");
    let fill = || (0..1000).take_while(|_| producer.push(CHATTER, &[0; 500]).seq().is_some()).count();
    let room = fill();
    assert!((10..20).contains(&room));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(producer.push_wait(CHATTER, &[0; 500])));
        while !waiting.is_finished() {
            assert!(drain(&mut consumer).lost() == 0);
        }
        waiting.join().expect("no panic").expect("accepted");
    });
    drain(&mut consumer);
    assert!(fill() >= room - 1);
    assert_eq!(producer.stats().dropped.total(), 0);
}

#[test]
fn gaps_from_memory_are_written_and_survive() {
    // The writer is faster than this can fill memory, so the disk must refuse at first: it is a file.
    let parent = scratch();
    let directory = parent.path().join("spool");
    std::fs::write(&directory, b"in the way").expect("written");
    let mut options = small();
    (options.ring_bytes, options.record_bytes_max) = (8 << 10, 1000);
    options.on_unavailable = zastava_buffer::OnUnavailable::MemoryOnly;
    let (producer, _consumer, report) = open(&directory, options.clone());
    assert!(report.unavailable.is_some());
    (1..=500)
        .for_each(|seq| assert!(producer.push(crate::support::kind(seq), &payload(seq)).seq().is_some()));
    let lost = producer.stats().dropped;
    assert!(lost.total() > 300);
    std::fs::remove_file(&directory).expect("ours");
    recovered(&producer);
    flush(&producer);
    close(&producer);
    let (producer, mut consumer, report) = open(&directory, options);
    assert_eq!((report.pending, report.lost), (500 - lost.total(), lost.total()));
    let drained = drain(&mut consumer);
    assert_eq!((drained.lost(), drained.gaps.len()), (lost.total(), 1));
    assert_eq!(drained.gaps[0].counts, lost);
    assert!(matches!(drained.records.last(), Some(record) if record.bytes[..] == payload(500)[..]));
    close(&producer);
}
