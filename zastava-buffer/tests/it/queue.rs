//! Append, read, acknowledge, reopen, lock.

use std::sync::Arc;
use std::thread;

use tempfile::TempDir;
use zastava_buffer::{Buffer, CursorCondition, Entry, Error, Kind, Options};

use crate::support::{check_books, drain, files, fill, open, scratch, segments, small};

#[test]
fn records_come_out_as_they_went_in() {
    let directory = TempDir::new().expect("directory");
    let spool = directory.path().join("new/spool");
    let (buffer, report) = open(&spool, Options::default());
    assert_eq!((report.cursor, report.pending), (CursorCondition::Fresh, 0));
    fill(&buffer, 100);
    buffer.push(Kind(255), b"").map(|admission| assert_eq!(admission.seq, 101)).expect("empty record");
    let empty = buffer.next_batch(usize::MAX, usize::MAX).expect("batch").pop().expect("entry");
    let Entry::Record(empty) = empty else { panic!("{empty:?}") };
    assert_eq!((empty.seq, empty.kind, empty.bytes), (101, Kind(255), vec![]));
    assert_eq!(buffer.sync().expect("sync"), 101);

    let through = buffer.next_batch(100, usize::MAX).expect("batch").last().map(Entry::last_seq);
    assert_eq!(through, Some(100));
    assert_eq!(buffer.ack_through(100).expect("ack"), 100);
    assert_eq!((buffer.stats().acked, buffer.stats().pending), (100, 1));
}

#[test]
fn reading_consumes_nothing_and_limits_are_kept() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 10);
    let all = buffer.next_batch(100, 1 << 20).expect("batch");
    assert_eq!((all.len(), &all), (10, &buffer.next_batch(100, 1 << 20).expect("again")));
    assert_eq!(buffer.next_batch(0, 1 << 20).expect("batch"), []);
    assert_eq!(buffer.next_batch(4, 1 << 20).expect("batch"), all[..4]);
    // One record comes however small the limit: otherwise it would block the queue for ever.
    assert_eq!(buffer.next_batch(100, 0).expect("batch"), all[..1]);
    // The shorter batches in between did not narrow what may be acknowledged.
    assert_eq!(buffer.ack_through(10).expect("ack"), 10);
}

#[test]
fn only_what_was_delivered_can_be_acknowledged() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 10);
    let refused = buffer.ack_through(1).expect_err("nothing was delivered");
    assert!(matches!(refused, Error::NotDelivered { seq: 1, delivered_through: 0 }));
    buffer.next_batch(4, 1 << 20).expect("batch");
    let refused = buffer.ack_through(u64::MAX).expect_err("far beyond");
    assert!(matches!(refused, Error::NotDelivered { delivered_through: 4, .. }));
    assert_eq!(buffer.ack_through(3).expect("part"), 3);
    assert_eq!(buffer.ack_through(2).expect("again"), 0);
    assert_eq!(drain(&buffer).seqs(), [4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_reopened_directory_goes_on_where_it_was() {
    let directory = scratch();
    for round in 0..5 {
        let (buffer, report) = open(directory.path(), small());
        assert_eq!((report.pending, report.lost, report.torn_tail), (round * 20, 0, false));
        assert_eq!(buffer.stats().accepted, round * 30);
        fill(&buffer, 30);
        buffer.next_batch(10, 1 << 20).expect("batch");
        assert_eq!(buffer.ack_through(round * 10 + 10).expect("ack"), 10);
        check_books(&buffer.stats());
    }
    let (buffer, report) = open(directory.path(), small());
    assert_eq!((report.cursor, report.damaged_headers), (CursorCondition::Intact, 0));
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!(drained.seqs(), (51..=150).collect::<Vec<_>>());
    let epochs: Vec<_> = drained.records.iter().map(|record| record.epoch).collect();
    assert!(epochs.is_sorted() && epochs[0] != epochs[99]);
}

#[test]
fn a_drained_directory_gives_the_disk_back() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 400);
    assert!(segments(directory.path()).len() > 5);
    drain(&buffer);
    assert_eq!(segments(directory.path()).len(), 1, "only the one being written");
    let id = buffer.id();
    drop(buffer);
    let (buffer, _) = open(directory.path(), small());
    assert_eq!(files(directory.path()), ["cursor", "lock"].map(|name| directory.path().join(name)));
    assert_eq!((buffer.stats().next_seq, buffer.stats().acked, buffer.id()), (401, 400, id));
}

#[test]
fn sync_does_not_vouch_for_a_file_that_is_gone() {
    let directory = scratch();
    fill(&open(directory.path(), small()).0, 3);
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 2);
    std::fs::remove_file(&segments(directory.path())[0]).expect("remove");
    for _ in 0..2 {
        let refused = buffer.sync().expect_err("records 1 to 3 are gone");
        assert!(matches!(refused, Error::NotDurable { first_seq: 1, last_seq: 3 }), "{refused}");
    }
    let drained = drain(&buffer);
    assert_eq!((drained.seqs(), drained.lost()), (vec![4, 5], 3));
    assert_eq!(buffer.sync().expect("what is left is safe"), 5);
}

#[test]
fn a_second_open_is_refused_until_the_first_is_dropped() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    let refused = Buffer::open(directory.path(), small()).expect_err("locked");
    assert!(matches!(&refused, Error::Locked { path } if path.ends_with("lock")), "{refused}");
    drop(buffer);
    open(directory.path(), small());
}

#[test]
fn contradicting_options_name_the_option_and_its_range() {
    let directory = scratch();
    let check = |change: fn(&mut Options), name: &str| {
        let mut options = small();
        change(&mut options);
        let refused = Buffer::open(directory.path(), options).expect_err(name);
        assert!(matches!(refused, Error::InvalidOption { option, .. } if option == name), "{refused}");
    };
    check(|options| options.bytes_max = (64 << 10) - 1, "bytes_max");
    check(|options| options.bytes_max = u64::MAX, "bytes_max");
    check(|options| options.segment_bytes = 4095, "segment_bytes");
    check(|options| options.segment_bytes = 28673, "segment_bytes");
    check(|options| options.record_bytes_max = 0, "record_bytes_max");
    check(|options| options.record_bytes_max = 4001, "record_bytes_max");
    for bytes_max in [0, 1, 64 << 10, 1 << 20, 64 << 20, 1 << 40] {
        let opened = Buffer::open(directory.path(), Options::new(bytes_max));
        assert_eq!(opened.is_ok(), bytes_max >= 64 << 10, "{bytes_max}");
    }
}

#[test]
fn many_producers_and_one_consumer_share_it() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), Options::new(16 << 20));
    let buffer = Arc::new(buffer);
    let producers: Vec<_> = (0..4)
        .map(|producer: u8| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                for count in 0_u32..500 {
                    let _ = buffer.push(Kind(producer), &count.to_le_bytes()).expect("push");
                }
            })
        })
        .collect();
    let mut seen = [0_u32; 4];
    while seen != [500; 4] {
        assert!(buffer.wait_for_records(std::time::Duration::from_secs(60)));
        let batch = buffer.next_batch(64, 1 << 20).expect("batch");
        for entry in &batch {
            let Entry::Record(record) = entry else { panic!("{entry:?}") };
            let expected = &mut seen[usize::from(record.kind.0)];
            assert_eq!(record.bytes, expected.to_le_bytes(), "each producer's order is kept");
            *expected += 1;
        }
        buffer.ack_through(batch.last().expect("not empty").last_seq()).expect("ack");
    }
    for producer in producers {
        producer.join().expect("producer");
    }
    assert_eq!(buffer.stats().acked, 2000);
}
