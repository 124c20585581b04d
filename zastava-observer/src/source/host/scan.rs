//! Reads all processes of the host and groups them into workloads.

use std::collections::HashMap;
use std::io;

use zastava_elf::Process;

use super::groups::{Groups, Member};
use crate::procfs::{self, ProcTree, Stat};
use crate::workload::Workload;

/// The most processes that one scan reads.
const PROCESSES_MAX: usize = 65_536;
/// Between `fork` and `exec` a process still shows its parent's program. Processes younger than this, in
/// clock ticks, are left to the next scan.
const AGE_TICKS_MIN: u64 = 5;
/// A service manager moves a process to its cgroup shortly after it started. The path is read in so many
/// scans before it is taken as final.
const CGROUP_READS: u8 = 3;

/// Scans `/proc`. Remembers what the last scan saw, and no more.
#[derive(Debug)]
pub(super) struct ProcessScan {
    tree: ProcTree,
    own_cgroup: Option<String>,
    cgroups: Cgroups,
    groups: Groups,
    too_many: bool,
}

/// By pid and start ticks.
type Cgroups = HashMap<(u32, u64), CgroupReading>;

/// A process's cgroup path, and how often it was read.
#[derive(Clone, Debug)]
struct CgroupReading {
    path: Option<String>,
    reads: u8,
}

impl ProcessScan {
    pub(super) fn new(tree: ProcTree) -> Self {
        let own = tree.own_pid().and_then(|pid| tree.process(pid).ok());
        let own_cgroup = own.and_then(|own| cgroup(&own, &procfs::stat(&own).ok()?).ok()).flatten();
        Self { groups: Groups::new(tree.clone()), tree, own_cgroup, cgroups: HashMap::new(), too_many: false }
    }

    /// The workloads that run.
    pub(super) fn scan(&mut self) -> io::Result<Vec<Workload>> {
        let (pids, more) = self.tree.pids(PROCESSES_MAX)?;
        if more && !self.too_many {
            tracing::warn!(
                limit = PROCESSES_MAX,
                "too many processes run; workloads beyond the limit are not observed"
            );
        }
        self.too_many = more;
        let youngest = procfs::now_ticks().saturating_sub(AGE_TICKS_MIN);
        let mut cgroups = HashMap::with_capacity(pids.len());
        let mut members = Vec::with_capacity(pids.len());
        for pid in pids {
            // The process ended since the pids were listed, or may not be read.
            let Ok(member) = self.member(pid, &mut cgroups) else { continue };
            members.extend(member.filter(|member| member.stat.start_ticks <= youngest));
        }
        self.cgroups = cgroups;
        Ok(self.groups.update(members))
    }

    /// The workload of one process.
    pub(super) fn scan_one(mut self, pid: u32) -> io::Result<Option<Workload>> {
        let member = self.member(pid, &mut HashMap::new())?;
        Ok(self.groups.update(member.into_iter().collect()).pop())
    }

    /// The process as a member of its group; `None` for a thread of the kernel and for a process that
    /// ended.
    fn member(&self, pid: u32, cgroups: &mut Cgroups) -> io::Result<Option<Member>> {
        let process = self.tree.process(pid)?;
        let stat = procfs::stat(&process)?;
        if stat.is_kernel_thread() || stat.is_ended() {
            return Ok(None);
        }
        let key = (pid, stat.start_ticks);
        let reading = match self.cgroups.get(&key) {
            Some(reading) if reading.reads >= CGROUP_READS => reading.clone(),
            reading => {
                let reads = reading.map_or(0, |reading| reading.reads) + 1;
                CgroupReading { path: cgroup(&process, &stat)?, reads }
            }
        };
        // The observer shares its cgroup with the commands of its terminal, which are grouped by session.
        let cgroup = reading.path.clone().filter(|path| Some(path) != self.own_cgroup.as_ref());
        cgroups.insert(key, reading);
        Ok(Some(Member { stat, cgroup }))
    }
}

fn cgroup(process: &Process, stat: &Stat) -> io::Result<Option<String>> {
    Ok(procfs::cgroups(process, stat)?.into_path())
}
