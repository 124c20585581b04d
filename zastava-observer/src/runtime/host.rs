//! The host's own processes as workloads: services, and what sessions run.
//!
//! Each scan lists every process, groups them, and tells the whole list. Processes belong together
//! by the cgroup that a service manager or container engine made for them; else by session, and in
//! a session by process group, so that each command a shell starts is a workload of its own.

mod group;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::MissedTickBehavior;

use self::group::{Groups, Member};
use super::{Change, Changes, Container, ContainerRuntime, SourceCondition};
use crate::process::{CaptureError, ProcTree};

/// Processes looked at in one scan; more are left out, with a line in the log.
const PROCESSES_MAX: usize = 65_536;
/// Between `fork` and `exec` a process still shows its parent's program: processes younger than this,
/// in clock ticks, are left for the next scan.
const AGE_TICKS_MIN: u64 = 5;
/// A process may be moved to its cgroup shortly after it starts: the path is read in so many scans.
const CGROUP_READS: u8 = 3;

/// A process of the host as a workload of its own, for embedders that know which one they mean.
///
/// # Errors
/// [`CaptureError::Ended`] when there is no such process, or it is a thread of the kernel.
pub fn host_container(tree: &ProcTree, pid: u32) -> Result<Container, CaptureError> {
    let scanner = Scanner::new(tree.clone());
    let member = scanner.member(pid, &mut HashMap::new()).map_err(CaptureError::from_io)?;
    let found = Groups::new(tree.clone()).update(member.into_iter().collect());
    found.into_iter().next().ok_or(CaptureError::Ended)
}

/// Watches by scanning.
#[derive(Debug)]
pub(crate) struct Host {
    scanner: Scanner,
    interval: Duration,
}

impl Host {
    pub(crate) fn new(tree: ProcTree, interval: Duration) -> Self {
        Self { scanner: Scanner::new(tree), interval }
    }
}

#[async_trait]
impl ContainerRuntime for Host {
    async fn watch(self: Box<Self>, changes: Changes, mut condition: SourceCondition) {
        let mut scanner = self.scanner;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let scan = tokio::task::spawn_blocking(move || {
                let found = scanner.scan();
                (scanner, found)
            });
            // The task is only cancelled with the whole runtime.
            let Ok((returned, found)) = scan.await else { return };
            scanner = returned;
            match found {
                Ok(containers) => {
                    condition.works();
                    if changes.send(Change::Snapshot(containers)).await.is_err() {
                        return;
                    }
                }
                Err(error) => condition.failed(&error),
            }
        }
    }
}

/// What is carried from scan to scan; bounded by what the last scan saw.
#[derive(Debug)]
struct Scanner {
    tree: ProcTree,
    own_cgroup: Option<String>,
    cgroups: HashMap<(u32, u64), KnownCgroup>,
    groups: Groups,
    too_many: bool,
}

#[derive(Clone, Debug)]
struct KnownCgroup {
    path: Option<String>,
    reads: u8,
}

impl Scanner {
    fn new(tree: ProcTree) -> Self {
        let own = tree.own_pid().and_then(|pid| tree.process(pid).ok());
        let own_cgroup = own.and_then(|own| own.cgroup().ok()).flatten();
        Self { groups: Groups::new(tree.clone()), tree, own_cgroup, cgroups: HashMap::new(), too_many: false }
    }

    fn scan(&mut self) -> io::Result<Vec<Container>> {
        let (pids, more) = self.tree.pids(PROCESSES_MAX)?;
        if more && !self.too_many {
            tracing::warn!(
                limit = PROCESSES_MAX,
                "more processes than are looked at: some workloads are not seen"
            );
        }
        self.too_many = more;
        let youngest = self.tree.now_ticks()?.saturating_sub(AGE_TICKS_MIN);
        let mut cgroups = HashMap::with_capacity(pids.len());
        let mut members = Vec::with_capacity(pids.len());
        for pid in pids {
            // It ended between the listing and the look at it, or is not ours to read.
            let Ok(member) = self.member(pid, &mut cgroups) else { continue };
            members.extend(member.filter(|member| member.stat.start_ticks <= youngest));
        }
        self.cgroups = cgroups;
        Ok(self.groups.update(members))
    }

    fn member(&self, pid: u32, cgroups: &mut HashMap<(u32, u64), KnownCgroup>) -> io::Result<Option<Member>> {
        let process = self.tree.process(pid)?;
        let stat = process.stat()?;
        if stat.is_kernel_thread() || stat.is_ended() {
            return Ok(None);
        }
        let key = (pid, stat.start_ticks);
        let known = match self.cgroups.get(&key) {
            Some(known) if known.reads >= CGROUP_READS => known.clone(),
            known => {
                let reads = known.map_or(0, |known| known.reads) + 1;
                KnownCgroup { path: process.cgroup()?, reads }
            }
        };
        // Beside us in our own cgroup stand the commands of the same terminal: by session.
        let cgroup = known.path.clone().filter(|path| Some(path) != self.own_cgroup.as_ref());
        cgroups.insert(key, known);
        Ok(Some(Member { stat, cgroup }))
    }
}
