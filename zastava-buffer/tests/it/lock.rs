//! Two buffers on one directory, and a directory that others change while it is open.

use std::fs;
use std::path::Path;
use std::time::Duration;

use zastava_buffer::{
    Buffer, Disk, Durability, Error, Kind, Removal, StorageHealth, StorageProblem, Store as _, block_on,
};

use crate::support::{
    close, drain, fill, flush, kind, open, patient, payload, recovered, scratch, segments, small,
};

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
    let options = patient();
    let (second, mut consumer, report) = open(directory.path(), options);
    assert_eq!(report.unavailable, Some(StorageProblem::Locked));
    let locked = second.health();
    assert!(matches!(locked, StorageHealth::Degraded { cause: StorageProblem::Locked, .. }));
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
    assert_eq!(block_on(second.health_changed(locked)), StorageHealth::Ok);
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
    let options = patient();
    let (producer, mut consumer, _) = open(directory.path(), options);
    recovered(&producer);
    assert_eq!(drain(&mut consumer).records.len(), 10);
    assert!(producer.close(Duration::from_secs(600)).0);
}

/// Records that are written after that could not be found by anybody.
#[test]
fn a_directory_that_is_gone_is_noticed() {
    for replace in [remove as fn(&Path), replace] {
        let parent = scratch();
        let directory = parent.path().join("spool");
        let (producer, mut consumer, _) = open(&directory, small());
        fill(&producer, 1..=10);
        flush(&producer);
        replace(&directory);
        let durable = block_on(producer.push_durable(kind(11), &payload(11), Durability::Power));
        assert!(matches!(durable, Err(Error::NotDurable)), "{durable:?}");
        let health = producer.health();
        assert!(matches!(health, StorageHealth::Degraded { cause: StorageProblem::Gone, .. }), "{health:?}");
        // What is in memory is delivered all the same, and told as lost to nobody.
        assert!(drain(&mut consumer).seqs().contains(&11));
        producer.close(Duration::ZERO);
    }
}

fn remove(directory: &Path) {
    fs::remove_dir_all(directory).expect("ours");
}

fn replace(directory: &Path) {
    fs::rename(directory, directory.with_extension("old")).expect("ours");
    close(&open(directory, small()).0);
}

#[test]
fn a_segment_that_is_gone_costs_what_it_held() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    fill(&producer, 1..=10);
    flush(&producer);
    for path in segments(directory.path()) {
        fs::remove_file(path).expect("ours");
    }
    let durable = block_on(producer.push_durable(kind(11), &payload(11), Durability::Power));
    // Or it was written anew already, to a segment that is there.
    assert!(matches!(durable, Ok(11) | Err(Error::NotDurable)), "{durable:?}");
    recovered(&producer);
    flush(&producer);
    let drained = drain(&mut consumer);
    assert!(drained.seqs().contains(&11), "{drained:?}");
    assert_eq!(close(&producer).accepted, 11);
    let (producer, _consumer, report) = open(directory.path(), small());
    assert_eq!((report.pending, report.lost), (0, 0), "{report:?}");
    close(&producer);
}

#[test]
fn what_is_no_regular_file_is_named() {
    for name in ["cursor-00", "lock"] {
        let directory = scratch();
        close(&open(directory.path(), small()).0);
        let path = directory.path().join(name);
        fs::rename(&path, directory.path().join("elsewhere")).expect("ours");
        std::os::unix::fs::symlink("elsewhere", &path).expect("a link");
        let linked = Buffer::open(directory.path(), small()).map(drop).expect_err("a link");
        fs::remove_file(&path).expect("ours");
        fs::create_dir(&path).expect("ours");
        let folder = Buffer::open(directory.path(), small()).map(drop).expect_err("a directory");
        for error in [linked, folder] {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(format!("{error}: {source}").contains(name), "{error}: {source}");
        }
    }
}

#[test]
fn errors_of_the_disk_name_the_file() {
    let directory = scratch();
    let mut disk = Disk::open(directory.path(), 0).expect("ours");
    fs::create_dir(directory.path().join("folder")).expect("ours");
    fs::write(directory.path().join("aside"), "no directory").expect("ours");
    let errors = [
        ("nowhere/new", disk.create("nowhere/new", 0)),
        ("folder", disk.write("folder", 0, b"bytes")),
        ("missing", disk.read("missing", 0, &mut [0]).map(drop)),
        ("missing", disk.truncate("missing", 0)),
        ("missing", disk.sync("missing")),
        ("folder", disk.remove("folder", Removal::Delete)),
        ("missing", disk.remove("missing", Removal::SetAside)),
        ("aside", disk.list().map(drop)),
    ];
    for (name, result) in errors {
        let path = directory.path().join(name).display().to_string();
        let error = result.expect_err(name).to_string();
        assert!(error.starts_with(&path), "{name}: {error}");
    }
}
