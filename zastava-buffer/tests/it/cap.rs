//! The cap: what goes when there is no room, and how it is counted.

use std::fs;

use zastava_buffer::{DropReason, Entry, Error, Kind, Options};

use crate::support::{check_books, check_disk, drain, fill, open, payload, scratch, segments, small};

#[test]
fn the_oldest_segment_goes_first_and_is_counted_by_kind() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    let mut evicted = 0;
    for count in 0_u64..200 {
        evicted += buffer.push(Kind((count % 2) as u8), &[7; 1000]).expect("push").evicted;
        check_books(&buffer.stats());
        check_disk(directory.path(), &buffer.stats());
    }
    let stats = buffer.stats();
    assert!(evicted > 100, "{stats:?}");
    assert_eq!((stats.accepted, stats.pending), (200, 200 - evicted));
    // Segments begin with an even number of records before them, or odd, but never both ways.
    let by_kind = [0, 1].map(|kind| stats.dropped.count(Some(Kind(kind)), DropReason::Evicted));
    assert_eq!((by_kind[0] + by_kind[1], by_kind[0]), (evicted, evicted.div_ceil(2)));

    let drained = drain(&buffer);
    assert_eq!(drained.seqs(), (evicted + 1..=200).collect::<Vec<_>>());
    assert_eq!(drained.gaps.len(), 1, "the consumer is told of the evicted records in front");
    let gap = drained.gaps[0];
    assert_eq!((gap.first_seq, gap.last_seq, gap.reason), (1, evicted, DropReason::Evicted));
}

#[test]
fn an_eviction_gap_is_told_until_acknowledged_even_after_a_restart() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    for _ in 0..100 {
        let _ = buffer.push(Kind(1), &[7; 1000]).expect("push");
    }
    let dropped = buffer.stats().dropped;
    drop(buffer);
    let (buffer, _) = open(directory.path(), small());
    let batch = buffer.next_batch(1, 1 << 20).expect("batch");
    let [Entry::Gap(gap)] = batch[..] else { panic!("{batch:?}") };
    assert_eq!((gap.first_seq, gap.records()), (1, dropped.total()));
    assert_eq!(buffer.ack_through(gap.last_seq).expect("ack"), 0);
    drop(buffer);
    let (buffer, _) = open(directory.path(), small());
    assert_eq!((drain(&buffer).gaps, buffer.stats().dropped), (vec![], dropped));
}

#[test]
fn a_record_evicted_while_on_its_way_is_counted_once() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 10);
    buffer.next_batch(10, 1 << 20).expect("batch");
    while buffer.push(Kind(9), &[0; 3900]).expect("push").evicted == 0 {}
    assert_eq!(buffer.ack_through(10).expect("ack"), 0);
    let stats = buffer.stats();
    assert_eq!((stats.acked, stats.dropped.total() >= 10), (0, true));
    check_books(&stats);
}

#[test]
fn an_oversize_record_is_refused_alone() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 1);
    let refused = buffer.push(Kind(4), &[0; 4001]).expect_err("too large");
    assert!(matches!(refused, Error::TooLarge { bytes: 4001, bytes_max: 4000 }));
    let _ = buffer.push(Kind(4), &[0; 4000]).expect("as large as allowed");
    let stats = buffer.stats();
    assert_eq!((stats.accepted, stats.dropped.total()), (2, 0));
    assert_eq!(stats.refused.iter().collect::<Vec<_>>(), [(Some(Kind(4)), DropReason::TooLarge, 1)]);
    assert_eq!(drain(&buffer).seqs(), [1, 2]);
}

#[test]
fn a_lowered_cap_drops_the_oldest_at_open() {
    let directory = scratch();
    let mut large = small();
    large.bytes_max = 1 << 20;
    let (buffer, _) = open(directory.path(), large);
    fill(&buffer, 2000);
    drop(buffer);
    let (buffer, report) = open(directory.path(), small());
    let stats = buffer.stats();
    check_disk(directory.path(), &stats);
    let by_kind: u64 = (0..3).map(|kind| stats.dropped.count(Some(Kind(kind)), DropReason::CapLowered)).sum();
    assert!(report.evicted > 0);
    assert_eq!((by_kind, report.pending), (report.evicted, 2000 - report.evicted));
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!(drained.records.len() as u64, report.pending);
}

#[test]
fn every_kind_keeps_its_own_count_until_the_table_is_full() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    for _ in 0..20 {
        for kind in 0..=255 {
            let _ = buffer.push(Kind(kind), &[kind; 100]).expect("push");
        }
    }
    check_books(&buffer.stats());
    let dropped = buffer.stats().dropped;
    drop(buffer);
    let (buffer, _) = open(directory.path(), small());
    let stats = buffer.stats();
    assert_eq!((stats.accepted, &stats.dropped), (20 * 256, &dropped));
    assert!(dropped.count(Some(Kind(0)), DropReason::Evicted) > 10);
    assert!(dropped.count(None, DropReason::Evicted) > 10, "the last kinds share one line");
}

#[test]
fn files_set_aside_take_their_share_and_are_never_deleted() {
    let directory = scratch();
    fs::create_dir(directory.path().join("aside")).expect("aside");
    let kept = directory.path().join("aside/kept.seg");
    fs::write(&kept, [1; 52 << 10]).expect("write");
    let (buffer, report) = open(directory.path(), small());
    assert_eq!(report.set_aside_files, 1);
    // 4 KiB are left: the queue lives in one segment, and each next one replaces it.
    for _ in 0..20 {
        let _ = buffer.push(Kind(1), &payload(900)[..10]).expect("push");
        let _ = buffer.push(Kind(1), &[2; 3000]).expect("push");
        check_books(&buffer.stats());
        check_disk(directory.path(), &buffer.stats());
    }
    assert_eq!(segments(directory.path()).len(), 2, "one of ours and the one set aside");
    drop(buffer);

    fs::write(&kept, [1; 56 << 10]).expect("write");
    let (buffer, _) = open(directory.path(), small());
    let refused = buffer.push(Kind(1), b"").expect_err("no room at all");
    assert!(matches!(refused, Error::NoRoom { set_aside_bytes: 57344, bytes_max: 65536 }), "{refused}");
    assert_eq!(buffer.stats().refused.count(Some(Kind(1)), DropReason::NoRoom), 1);
    assert_eq!(fs::metadata(kept).expect("still there").len(), 56 << 10);
}

#[test]
fn default_options_hold_a_record_of_one_mebibyte() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), Options::default());
    let record = vec![3; 1 << 20];
    for _ in 0..20 {
        let _ = buffer.push(Kind(0), &record).expect("push");
    }
    let batch = buffer.next_batch(usize::MAX, 5 << 20).expect("batch");
    assert_eq!(batch.len(), 5);
    assert!(batch.iter().all(|entry| matches!(entry, Entry::Record(found) if found.bytes == record)));
    assert!(!format!("{batch:?}").contains("3, 3"), "payloads are not printed");
}
