//! Scans of a tree of files that looks like `/proc`, so that processes can be what no real one is.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::scan::ProcessScan;
use crate::procfs::ProcTree;

/// A `/proc` of files.
struct Tree {
    directory: TempDir,
    forks: u64,
}

impl Tree {
    fn new() -> Self {
        let mut tree = Self { directory: tempfile::tempdir().expect("a directory"), forks: 0 };
        tree.write("sys/kernel/random/boot_id", "5d1f3c6e-0000-4000-8000-000000000000\n");
        tree.counts();
        tree
    }

    fn scan(&self) -> ProcessScan {
        ProcessScan::new(ProcTree::open(self.directory.path()).expect("looks like one"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        fs::write(path, content).expect("can be written");
    }

    /// The kernel has counted that a process started.
    fn counts(&mut self) {
        self.forks += 1;
        self.write("stat", &format!("cpu 0 0 0\nbtime 1700000000\nprocesses {}\n", self.forks));
        self.write("loadavg", &format!("0.00 0.00 0.00 1/{} 9\n", self.forks));
    }

    /// A process in a group of its own, which started at these ticks. Another one of this id is gone.
    fn run(&mut self, pid: u32, ticks: u64) {
        let stat = format!("{pid} (job) S 1 {pid} {pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0\n");
        self.write("next/stat", &stat);
        self.write("next/cgroup", "0::/\n");
        let _ = fs::remove_dir_all(self.path(&pid.to_string()));
        fs::rename(self.path("next"), self.path(&pid.to_string())).expect("can be moved");
        self.counts();
    }

    fn end(&mut self, pid: u32) {
        fs::remove_dir_all(self.path(&pid.to_string())).expect("is there");
        self.counts();
    }
}

/// The pids and start ticks of the workloads in the next list.
fn list(scan: &mut ProcessScan) -> Option<Vec<(u32, u64)>> {
    let listed = scan.scan().expect("can be scanned")?;
    Some(listed.iter().map(|found| (found.pid, found.start_ticks.expect("is known"))).collect())
}

/// Scans until nothing is new and no list is due.
fn settle(scan: &mut ProcessScan) {
    while list(scan).is_some() {}
}

#[test]
fn a_process_that_cannot_be_read_has_not_ended() {
    let mut tree = Tree::new();
    tree.run(7, 100);
    tree.run(8, 200);
    let mut scan = tree.scan();
    assert_eq!(list(&mut scan), Some(vec![(7, 100), (8, 200)]));
    // Reading fails, as it does when descriptors run out.
    for file in ["7/stat", "8/cgroup"] {
        fs::remove_file(tree.path(file)).expect("is there");
        fs::create_dir(tree.path(file)).expect("is free");
    }
    assert_eq!(list(&mut scan), Some(vec![(7, 100), (8, 200)]));
    tree.end(7);
    assert_eq!(list(&mut scan), Some(vec![(8, 200)]));
}

#[test]
fn processes_that_start_and_end_are_seen_by_the_next_scan() {
    let mut tree = Tree::new();
    tree.run(7, 100);
    let mut scan = tree.scan();
    settle(&mut scan);
    tree.run(8, 200);
    assert_eq!(list(&mut scan), Some(vec![(7, 100), (8, 200)]));
    settle(&mut scan);
    tree.end(7);
    assert_eq!(list(&mut scan), Some(vec![(8, 200)]));
    settle(&mut scan);
    // Another process with the same id.
    tree.run(8, 300);
    assert_eq!(list(&mut scan), Some(vec![(8, 300)]));
}

#[test]
fn a_scan_reads_nothing_while_nothing_starts_or_ends() {
    let mut tree = Tree::new();
    tree.run(7, 100);
    let mut scan = tree.scan();
    settle(&mut scan);
    // What the kernel would not do: the content changes, and nothing is counted.
    tree.write("7/stat", "7 (job) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0\n");
    assert_eq!(list(&mut scan), None);
    // Sooner or later a process that only waits for its parent is seen nevertheless.
    let seen = (0..100).find_map(|_| list(&mut scan).filter(Vec::is_empty));
    assert_eq!(seen, Some(vec![]));
}

#[test]
fn a_list_is_repeated_now_and_then() {
    let mut tree = Tree::new();
    tree.run(7, 100);
    let mut scan = tree.scan();
    settle(&mut scan);
    let again = (0..100).find_map(|_| list(&mut scan));
    assert_eq!(again, Some(vec![(7, 100)]));
}
