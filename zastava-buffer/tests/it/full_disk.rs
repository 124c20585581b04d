//! A disk that is really full, and one that turns read-only: a small tmpfs. Needs root.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use zastava_buffer::{BufferOptions, Durability, Kind, StorageHealth, StorageProblem, WhenFull, block_on};

use crate::support::{close, drain, fill, flush, kind, open, payload, recovered, roomy, skip};

/// Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self(TempDir::new().expect("mount point"));
        let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        if run("mount", &options, disk.0.path()) {
            return Some(disk);
        }
        skip("mounting a small file system needs root and mount(8)");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
}

fn options(when_full: WhenFull) -> BufferOptions {
    let mut options = roomy(16 << 20, 64 << 10);
    options.default_policy.when_full = when_full;
    options
}

#[test]
fn a_full_disk_keeps_records_in_memory_and_resumes_when_freed() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 512 << 10]).expect("there is room");
    let spool = disk.0.path().join("spool");
    let (producer, mut consumer, _) = open(&spool, options(WhenFull::Refuse));
    // A step at a time, so that what is left in memory fits into the ballast's place.
    let mut seq = 0;
    while block_on(producer.flush(Durability::Process)).is_ok() {
        assert!(seq < 100_000, "it is full some day");
        fill(&producer, seq + 1..=seq + 100);
        seq += 100;
    }
    let StorageHealth::Degraded { cause, .. } = producer.health() else { panic!("it is full") };
    assert_eq!(cause, StorageProblem::NoSpace);
    assert!(block_on(producer.flush(Durability::Power)).is_err(), "and does not say otherwise");
    // It goes on, in memory.
    fill(&producer, seq + 1..=seq + 100);
    fs::remove_file(&ballast).expect("ours");
    recovered(&producer);
    flush(&producer);
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!((drained.records.len() as u64, drained.lost()), (seq + 100, 0));
    close(&producer);
}

#[test]
fn a_full_disk_drops_our_own_oldest_if_that_is_the_policy() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (producer, mut consumer, _) = open(&disk.0.path().join("spool"), options(WhenFull::DropOldest));
    for seq in 1..=120_000 {
        assert_eq!(producer.push(kind(seq), &payload(seq)).seq(), Some(seq));
        let stats = producer.stats();
        assert!(stats.is_balanced(), "{stats}");
    }
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(drained.records.last().map(|record| record.seq), Some(120_000));
    assert_eq!(drained.records.len() as u64 + drained.lost(), 120_000);
    assert!(drained.lost() > 0);
    close(&producer);
}

#[test]
fn below_the_floor_memory_is_used_and_nothing_is_dropped() {
    let Some(disk) = SmallDisk::mount() else { return };
    let spool = disk.0.path().join("spool");
    let mut options = options(WhenFull::DropOldest);
    let (producer, ..) = open(&spool, options.clone());
    fill(&producer, 1..=1000);
    close(&producer);
    options.free_percent_min = 99;
    for place in [spool.clone(), spool.join("new")] {
        let (producer, mut consumer, report) = open(&place, options.clone());
        let backlog = report.pending;
        fill(&producer, backlog + 1..=backlog + 10);
        assert!(matches!(
            block_on(producer.flush(Durability::Power)),
            Err(zastava_buffer::Error::NotDurable)
        ));
        assert!(matches!(producer.health(), StorageHealth::Degraded { cause: StorageProblem::NoSpace, .. }));
        // Some more attempts.
        std::thread::sleep(Duration::from_millis(500));
        let drained = drain(&mut consumer);
        assert_eq!((drained.records.len() as u64, drained.lost()), (backlog + 10, 0));
        close(&producer);
    }
}

#[test]
fn closing_tries_again_until_its_time_is_over() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    let options = options(WhenFull::Refuse);
    let spool = disk.0.path().join("spool");
    close(&open(&spool, options.clone()).0);
    let mut file = fs::File::create(&ballast).expect("there is room");
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let (producer, _consumer, _) = open(&spool, options.clone());
    fill(&producer, 1..=10);
    assert!(block_on(producer.flush(Durability::Power)).is_err());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            fs::remove_file(&ballast).expect("ours");
        });
        let (is_done, stats) = producer.close(Duration::MAX);
        assert_eq!((is_done, stats.in_memory), (true, 0));
    });
    assert_eq!(open(&spool, options).2.pending, 10);
}

#[test]
fn a_full_disk_can_be_opened_and_drained() {
    let Some(disk) = SmallDisk::mount() else { return };
    let spool = disk.0.path().join("spool");
    let (producer, _consumer, _) = open(&spool, options(WhenFull::Refuse));
    fill(&producer, 1..=500);
    close(&producer);
    // Not a byte left.
    let mut len = 1 << 20;
    for number in 0.. {
        if len < 4096 {
            break;
        }
        let path = disk.0.path().join(format!("ballast-{number}"));
        if fs::write(&path, vec![0; len]).is_err() {
            let _ = fs::remove_file(&path);
            len /= 2;
        }
    }
    let (producer, mut consumer, report) = open(&spool, options(WhenFull::Refuse));
    assert_eq!((report.pending, report.lost), (500, 0));
    assert_eq!(drain(&mut consumer).records.len(), 500);
    assert_eq!(close(&producer).acked, 500);
}

#[test]
fn a_disk_that_turns_read_only_is_drained_and_goes_on_when_it_turns_back() {
    let Some(disk) = SmallDisk::mount() else { return };
    let spool = disk.0.path().join("spool");
    let (producer, mut consumer, _) = open(&spool, options(WhenFull::Refuse));
    fill(&producer, 1..=300);
    flush(&producer);
    // Files open for writing forbid a remount; with --bind it is the mount that turns.
    let bind = disk.0.path();
    let is_read_only = run("mount", &["-o", "remount,ro"], bind);
    if is_read_only {
        fill(&producer, 301..=310);
        block_on(producer.health_changed(StorageHealth::Ok));
        assert!(matches!(producer.health(), StorageHealth::Degraded { .. }));
        let drained = drain(&mut consumer);
        drained.assert_genuine();
        assert_eq!(drained.records.len(), 310);
        assert!(run("mount", &["-o", "remount,rw"], bind));
        fill(&producer, 311..=320);
        flush(&producer);
        assert_eq!(drain(&mut consumer).records.len(), 10);
    } else {
        // The next best: the directory cannot be opened anew.
        close(&producer);
        assert!(run("mount", &["-o", "remount,ro"], bind), "nothing is open any more");
        let mut settings = options(WhenFull::Refuse);
        settings.on_unavailable = zastava_buffer::OnUnavailable::MemoryOnly;
        let (producer, mut consumer, report) = open(&spool, settings);
        assert_eq!(report.unavailable, Some(StorageProblem::ReadOnly));
        assert!(producer.push(Kind(1), b"in memory").seq().is_some());
        assert!(run("mount", &["-o", "remount,rw"], bind));
        recovered(&producer);
        assert_eq!(drain(&mut consumer).records.len(), 301);
        close(&producer);
        return;
    }
    close(&producer);
}
