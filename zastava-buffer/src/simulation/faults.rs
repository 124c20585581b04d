//! Every I/O call fails, once or for a while.

use std::io::ErrorKind;
use std::time::Duration;

use super::disk::{Fault, SimDisk};
use super::{Oracle, Random, Session, options, remember_classes};
use crate::kind::Kind;
use crate::stats::StorageHealth;

const FAULTS: [Fault; 7] = [
    Fault::Kind(ErrorKind::StorageFull),
    Fault::Kind(ErrorKind::QuotaExceeded),
    Fault::Kind(ErrorKind::ReadOnlyFilesystem),
    Fault::Kind(ErrorKind::TimedOut),
    Fault::Kind(ErrorKind::Other),
    Fault::Short,
    Fault::Late,
];

/// A short session without eviction. Whatever fails, every record is delivered.
fn run(disk: &SimDisk) -> Option<u64> {
    let mut settings = options(&mut Random::new(4));
    settings.ring_bytes = 1 << 20;
    settings.policies.clear();
    settings.default_policy.when_full = crate::WhenFull::Refuse;
    settings.bytes_max = 64 << 10;
    remember_classes(&settings);
    let mut oracle = Oracle::default();
    let mut session = Session::begin(disk, &settings)?;
    let begun = disk.calls();
    for round in 0..6 {
        for number in 0..30 {
            session.push(&mut oracle, Kind(number % 3), usize::from(number) * 7);
        }
        (0..4).for_each(|_| _ = session.step());
        session.note_safe(&mut oracle);
        session.pass(Duration::from_millis(11));
        (0..4).for_each(|_| _ = session.step());
        session.note_safe(&mut oracle);
        session.consume(&mut oracle, 10, round % 2 == 0);
        session.pass(Duration::from_secs(2));
        session.step();
    }
    let calls = disk.calls() - begun;
    disk.heal();
    session.pass(Duration::from_secs(2));
    session.settle();
    assert_eq!(session.producer.health(), StorageHealth::Ok, "the disk works again");
    session.note_safe(&mut oracle);
    session.drain(&mut oracle);
    oracle.check_nothing_missing();
    let stats = session.producer.stats();
    assert_eq!((stats.accepted, stats.acked, stats.dropped.total()), (180, 180, 0), "{stats}");
    Some(calls)
}

fn check_every_call(length: u64) -> u64 {
    let calls = run(&SimDisk::new()).expect("nothing fails") + 20;
    let mut runs = 0;
    for fault in FAULTS {
        for call in 0..calls {
            let disk = SimDisk::new();
            disk.fail(call..call + length, fault);
            run(&disk);
            runs += 1;
        }
    }
    super::report(&format!(
        "{runs} runs: {} faults at each of {calls} calls, for {length} calls",
        FAULTS.len()
    ));
    runs
}

#[test]
fn any_call_may_fail_once_and_nothing_is_lost() {
    assert!(check_every_call(1) > 500);
}

#[test]
fn any_call_and_the_next_hundred_may_fail_and_nothing_is_lost() {
    assert!(check_every_call(100) > 500);
}

#[test]
fn a_full_disk_keeps_records_in_memory_and_resumes() {
    let disk = SimDisk::new();
    let mut settings = options(&mut Random::new(4));
    (settings.ring_bytes, settings.bytes_max) = (1 << 20, 1 << 20);
    settings.policies.clear();
    settings.default_policy.when_full = crate::WhenFull::Refuse;
    remember_classes(&settings);
    let (mut oracle, mut session) = (Oracle::default(), Session::begin(&disk, &settings).expect("opens"));
    disk.limit(Some(32 << 10));
    (0..400).for_each(|_| session.push(&mut oracle, Kind(0), 200));
    for _ in 0..50 {
        session.step();
        session.pass(Duration::from_millis(50));
        session.note_safe(&mut oracle);
    }
    assert!(matches!(
        session.producer.health(),
        StorageHealth::Degraded { cause: crate::StorageProblem::NoSpace, .. }
    ));
    assert!(session.producer.stats().in_memory > 0);
    disk.limit(None);
    session.pass(Duration::from_secs(1));
    session.settle();
    assert_eq!((session.producer.health(), session.producer.stats().in_memory), (StorageHealth::Ok, 0));
    session.drain(&mut oracle);
    assert_eq!(session.producer.stats().acked, 400);
}

#[test]
fn nothing_is_safe_before_the_calls_that_make_it_so() {
    let disk = SimDisk::new();
    let settings = options(&mut Random::new(4));
    remember_classes(&settings);
    let (mut oracle, mut session) = (Oracle::default(), Session::begin(&disk, &settings).expect("opens"));
    disk.take_log();
    session.push(&mut oracle, Kind(0), 100);
    session.step();
    let segment = "00-00000001-00000001-0000000000000001";
    let log: Vec<String> = disk.take_log();
    let short: Vec<&str> = log.iter().map(|line| line.split_at(line.len().min(40)).0).collect();
    let at = |what: &str| {
        short.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {log:?}"))
    };
    let (created, written) = (at(&format!("create {segment}")[..30]), at("write 00-"));
    let (synced, names) = (at("sync 00-"), at("sync_names"));
    assert!(created < written && written < synced && synced < names, "{log:?}");
    session.drain(&mut oracle);
    session.end();
    let log = disk.take_log();
    let at = |what: &str| {
        log.iter().rposition(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {log:?}"))
    };
    assert!(at("write cursor") < at("sync cursor") && at("sync cursor") < at("remove 00-"), "{log:?}");
}
