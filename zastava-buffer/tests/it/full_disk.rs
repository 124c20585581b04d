//! A disk that is really full: a small file system in memory. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use zastava_buffer::{DropReason, Kind, Options};

use crate::support::{check_books, drain, kind, open, payload};

/// Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self(TempDir::new().expect("mount point"));
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(disk.0.path())
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        skip("mounting a small file system needs root and mount(8)");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

/// Past the test runner's capture, so that it is seen although the test passes.
fn skip(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}

fn options() -> Options {
    let mut options = Options::new(16 << 20);
    options.segment_bytes = 64 << 10;
    options.record_bytes_max = 60 << 10;
    options
}

#[test]
fn a_full_disk_refuses_honestly_and_resumes_when_freed() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 128 << 10]).expect("ballast");
    let spool = disk.0.path().join("spool");
    let (buffer, _) = open(&spool, options());

    let mut accepted = push_until_full(&buffer);
    assert!(accepted > 100);
    fs::remove_file(&ballast).expect("free");
    accepted += push_until_full(&buffer);
    let stats = buffer.stats();
    check_books(&stats);
    assert_eq!((stats.accepted, stats.dropped.total()), (accepted, 0));

    // Opening and draining need no free space at all.
    fill_up(&ballast);
    drop(buffer);
    let (buffer, report) = open(&spool, options());
    assert_eq!((report.pending, report.lost), (accepted, 0));
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!((drained.records.len() as u64, drained.lost()), (accepted, 0));
    let _ = buffer.push(Kind(1), b"room again").expect("draining made room");
}

/// Pushes until five pushes in a row are refused; how many were accepted.
fn push_until_full(buffer: &zastava_buffer::Buffer) -> u64 {
    let (before, refused_before) = (buffer.stats().accepted, buffer.stats().refused.total());
    let mut refused = 0;
    while refused < 5 {
        let seq = buffer.stats().next_seq;
        match buffer.push(kind(seq), &payload(seq)) {
            Ok(admission) => {
                assert_eq!((admission.seq, admission.evicted), (seq, 0));
                refused = 0;
            }
            Err(error) => {
                assert!(error.is_storage_full(), "{error:?}");
                refused += 1;
            }
        }
    }
    let stats = buffer.stats();
    assert!(stats.refused.total() >= refused_before + 5);
    assert!(stats.refused.iter().all(|(_, reason, _)| reason == DropReason::WriteFailed));
    stats.accepted - before
}

fn fill_up(ballast: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(ballast).expect("ballast");
    while file.write_all(&[0; 4096]).is_ok() {}
}
