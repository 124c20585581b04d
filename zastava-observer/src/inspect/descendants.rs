//! Which processes a process has started: those of a container beside its main process.
//!
//! The kernel lists the children of each thread. An orphan becomes a child of the container's first process, so that no
//! process of a container with a pid namespace of its own is missed. A process that came in from outside, such as that of
//! `kubectl exec`, is no descendant.

use std::collections::VecDeque;
use std::io;

use rustix::fs::{Dir, Mode, OFlags, openat};
use zastava_elf::{KernelPath, Process};

use super::process::{ProcessInspector, ProcessTarget};
use crate::procfs::{self, ProcTree};
use crate::reads::{Place, READ_TIME_MAX};

/// The most descendants that are looked at.
const DESCENDANTS_MAX: usize = 16;
/// The most threads of one process that are asked for their children.
const THREADS_MAX: usize = 256;
/// The largest list of children that is read.
const CHILDREN_BYTES_MAX: u64 = 4 << 10;

impl ProcessInspector {
    /// The nearest descendants that have the same mounts as the process; none if the kernel does not tell children
    /// (`CONFIG_PROC_CHILDREN`).
    pub(super) fn descendants(&self, pid: u32) -> Vec<ProcessTarget> {
        let tree = self.tree.clone();
        let place = Place::Process { pid, file: "children" };
        let found = self.reads.reader(READ_TIME_MAX).read(place, move |_| descendants(&tree, pid));
        found.ok().and_then(Result::ok).unwrap_or_default()
    }
}

fn descendants(tree: &ProcTree, pid: u32) -> io::Result<Vec<ProcessTarget>> {
    let main = tree.process(pid)?;
    let mounts = mounts(&main)?;
    let (mut found, mut open) = (Vec::<ProcessTarget>::new(), VecDeque::from([main]));
    while let Some(process) = open.pop_front() {
        for pid in children(&process) {
            // A pid that was given to another process meanwhile does not lead out of the container.
            let Ok(child) = tree.process(pid) else { continue };
            let Ok(stat) = procfs::stat(&child) else { continue };
            let is_known = found.iter().any(|found| found.pid == pid);
            if is_known || !self::mounts(&child).is_ok_and(|of_child| of_child == mounts) {
                continue;
            }
            found.push(ProcessTarget { pid, start_ticks: Some(stat.start_ticks), cgroup: None });
            if found.len() == DESCENDANTS_MAX {
                return Ok(found);
            }
            open.push_back(child);
        }
    }
    Ok(found)
}

fn mounts(process: &Process) -> io::Result<KernelPath> {
    Ok(process.link("ns/mnt")?)
}

/// The children of all threads (proc_tid_children(5)). What cannot be read has none.
fn children(process: &Process) -> Vec<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(threads) = openat(process, "task", flags, Mode::empty()).and_then(Dir::new) else {
        return Vec::new();
    };
    let names = threads.flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse::<u32>().ok());
    let lists = names
        .take(THREADS_MAX)
        .filter_map(|thread| process.read(format!("task/{thread}/children"), CHILDREN_BYTES_MAX).ok());
    lists.flat_map(|list| parse(&list)).collect()
}

/// `7 8 9 `
fn parse(list: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(list);
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::options::CollectOptions;

    #[test]
    fn children_of_children_are_found_and_those_with_other_mounts_are_not() {
        let script = "sleep 300 & sh -c 'sleep 300; true' & unshare --mount sleep 300 & read go";
        let mut command = Command::new("sh");
        let mut shell = command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("is installed");
        let inspector =
            ProcessInspector::new(ProcTree::open("/proc").expect("is there"), CollectOptions::default());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mounts = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("runs");
        let of = |pid: u32| {
            let list = std::fs::read(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            parse(&list)
        };
        // `unshare` has the shell's mounts before it leaves them.
        let apart = loop {
            assert!(std::time::Instant::now() < until, "the shell starts its processes");
            let apart = of(shell.id()).into_iter().find(|pid| mounts(*pid) != mounts(shell.id()));
            if inspector.descendants(shell.id()).len() == 3 && apart.is_some() {
                break apart;
            }
            std::thread::yield_now();
        };
        let found = inspector.descendants(shell.id());
        for target in &found {
            let stat = procfs::stat(&inspector.tree.process(target.pid).expect("runs")).expect("runs");
            assert_eq!(target.start_ticks, Some(stat.start_ticks));
        }
        for pid in found.into_iter().map(|target| target.pid).chain(apart) {
            assert_eq!(mounts(pid) == mounts(shell.id()), Some(pid) != apart);
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        shell.stdin.take().expect("is piped").write_all(b"go\n").expect("is read");
        shell.wait().expect("ends");
        assert!(inspector.descendants(shell.id()).is_empty());
        assert_eq!(parse(b"7 8 \n x 9"), [7, 8, 9]);
    }
}
