//! Finds all processes of the host and groups them into workloads.
//!
//! Reading a process costs some microseconds, and a node has thousands that do not change. So a scan reads those that are new
//! or due, and a scan of a node on which nothing has started or ended reads nothing
//! (docs/design/observer.md#what-does-a-scan-of-the-host-cost).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use zastava_elf::Process;

use super::groups::{Groups, Member};
use crate::procfs::{self, Activity, CgroupUnit, ProcTree, ProcessEntry, Stat, is_gone};
use crate::workload::Workload;

/// The most processes that one scan follows.
const PROCESSES_MAX: usize = 65_536;
/// Between `fork` and `exec` a process still shows its parent's program. Processes younger than this, in
/// clock ticks, are left to the next scan.
const AGE_TICKS_MIN: u64 = 5;
/// A shell moves a process to its group, and a service manager to its cgroup, shortly after it started. A process is read in so
/// many scans before that is taken as final.
const READS_TO_SETTLE: u8 = 3;
/// A process that has settled is read again after so many scans. It may have become one that only waits for its parent.
const SCANS_BETWEEN_READS: u64 = 30;
/// A scan that nothing asks for is made after so many.
const SCANS_SKIPPED_MAX: u64 = 8;
/// A list is given in so many scans after a change, and then after so many: the tracker may not have taken all of the last one.
const LISTS_AFTER_CHANGE: u64 = 3;
const SCANS_BETWEEN_LISTS: u64 = 15;

/// Scans `/proc`. Remembers what the last scan saw, and no more.
#[derive(Debug)]
pub(super) struct ProcessScan {
    tree: ProcTree,
    own_cgroup: Option<String>,
    known: HashMap<u32, Known>,
    units: HashMap<String, Arc<CgroupUnit>>,
    groups: Groups,
    activity: Option<Activity>,
    scans: u64,
    last_change: u64,
    is_settled: bool,
    too_many: bool,
}

/// A process, as it was read last.
#[derive(Debug)]
struct Known {
    inode: u64,
    /// `None` for a thread of the kernel, for a process that has ended, and for one that is too young.
    member: Option<Member>,
    reads: u8,
    read_in: u64,
}

impl ProcessScan {
    pub(super) fn new(tree: ProcTree) -> Self {
        let own = tree.own_pid().and_then(|pid| tree.process(pid).ok());
        let own_cgroup = own.and_then(|own| cgroup(&own, &procfs::stat(&own).ok()?).ok()).flatten();
        Self {
            groups: Groups::new(tree.clone()),
            tree,
            own_cgroup,
            known: HashMap::new(),
            units: HashMap::new(),
            activity: None,
            scans: 0,
            last_change: 0,
            is_settled: false,
            too_many: false,
        }
    }

    /// The workloads that run; `None` while they are those of the last scan.
    pub(super) fn scan(&mut self) -> io::Result<Option<Vec<Workload>>> {
        self.scans += 1;
        // Read before the processes are: what happens in between is seen by the next scan.
        let activity = self.tree.activity().ok();
        let is_same = activity.is_some() && activity == self.activity;
        if (!is_same || !self.is_settled || self.scans.is_multiple_of(SCANS_SKIPPED_MAX)) && self.read()? {
            self.groups.update(self.known.values().filter_map(|known| known.member.as_ref()));
            self.units.retain(|_, unit| Arc::strong_count(unit) > 1);
            self.last_change = self.scans;
        }
        self.activity = activity;
        let since = self.scans - self.last_change;
        let is_due = since < LISTS_AFTER_CHANGE || since.is_multiple_of(SCANS_BETWEEN_LISTS);
        Ok(is_due.then(|| self.groups.workloads()))
    }

    /// The workload of one process.
    pub(super) fn scan_one(mut self, pid: u32) -> io::Result<Option<Workload>> {
        let member = self.member(pid)?;
        self.groups.update(member.iter());
        Ok(self.groups.workloads().pop())
    }

    /// Reads the processes that are new or due. Whether any has changed, come or gone.
    fn read(&mut self) -> io::Result<bool> {
        let (entries, more) = self.tree.entries(PROCESSES_MAX)?;
        self.warn_of_limit(more);
        let youngest = procfs::now_ticks().saturating_sub(AGE_TICKS_MIN);
        let mut last = std::mem::take(&mut self.known);
        let mut known = HashMap::with_capacity(entries.len());
        let (mut is_changed, mut is_settled) = (false, true);
        let last_pid = entries.last().map_or(0, |entry| entry.pid);
        for entry in entries {
            let before = last.remove(&entry.pid);
            let (now, changes) = self.process(entry, before, youngest);
            is_changed |= changes;
            if let Some(now) = now {
                is_settled &= now.reads >= READS_TO_SETTLE;
                known.insert(entry.pid, now);
            }
        }
        if more {
            // They are beyond the limit and not gone.
            known.extend(last.extract_if(|pid, _| *pid > last_pid));
        }
        is_changed |= last.values().any(|gone| gone.member.is_some());
        (self.known, self.is_settled) = (known, is_settled);
        Ok(is_changed)
    }

    /// What is known of the process after this scan, and whether that is new.
    fn process(
        &mut self,
        entry: ProcessEntry,
        before: Option<Known>,
        youngest: u64,
    ) -> (Option<Known>, bool) {
        let is_same = before.as_ref().is_some_and(|before| before.inode == entry.inode);
        let is_due = |before: &Known| {
            before.reads < READS_TO_SETTLE || self.scans - before.read_in >= SCANS_BETWEEN_READS
        };
        if is_same && !before.as_ref().is_some_and(is_due) {
            return (before, false);
        }
        let member = match self.member(entry.pid) {
            Ok(member) => member.filter(|member| member.start_ticks <= youngest),
            Err(error) if is_gone(&error) => {
                return (None, before.is_some_and(|before| before.member.is_some()));
            }
            // The observer is out of descriptors, or may not read it. That does not end the process.
            Err(_) => return (before, false),
        };
        let last = before.as_ref().and_then(|before| before.member.as_ref());
        let is_changed = last != member.as_ref();
        let reads = if is_same { before.map_or(0, |before| before.reads) } else { 0 };
        let reads = reads.saturating_add(1);
        (Some(Known { inode: entry.inode, member, reads, read_in: self.scans }), is_changed)
    }

    /// The process as a member of its group; `None` for a thread of the kernel and for a process that
    /// ended.
    fn member(&mut self, pid: u32) -> io::Result<Option<Member>> {
        let process = self.tree.process(pid)?;
        let stat = procfs::stat(&process)?;
        if stat.is_kernel_thread() || stat.is_ended() {
            return Ok(None);
        }
        // The observer shares its cgroup with the commands of its terminal, which are grouped by session.
        let path = cgroup(&process, &stat)?.filter(|path| Some(path) != self.own_cgroup.as_ref());
        let unit = path.and_then(|path| CgroupUnit::of(&path)).map(|unit| self.shared(unit));
        Ok(Some(Member {
            pid,
            start_ticks: stat.start_ticks,
            session: stat.session,
            process_group: stat.process_group,
            name: stat.name.into(),
            unit,
        }))
    }

    /// The processes of a unit share what is known of it.
    fn shared(&mut self, unit: CgroupUnit) -> Arc<CgroupUnit> {
        if let Some(known) = self.units.get(&unit.path) {
            return Arc::clone(known);
        }
        let shared = Arc::new(unit);
        self.units.insert(shared.path.clone(), Arc::clone(&shared));
        shared
    }

    fn warn_of_limit(&mut self, more: bool) {
        if more && !self.too_many {
            tracing::warn!(
                limit = PROCESSES_MAX,
                "too many processes run; workloads beyond the limit are not observed"
            );
        }
        self.too_many = more;
    }
}

fn cgroup(process: &Process, stat: &Stat) -> io::Result<Option<String>> {
    Ok(procfs::cgroups(process, stat)?.into_path())
}
