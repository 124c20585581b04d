//! The processes of the host as workloads: services, and what sessions run.
//!
//! A scan finds the processes, groups them, and reports all groups as a list when they have changed. Processes
//! belong together by the cgroup that a service manager or container engine made for them. Without one,
//! they belong together by process group, so that each command of a shell is a workload
//! (docs/design/observer.md#what-is-a-workload-of-the-host-engine).

mod groups;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::MissedTickBehavior;
use zastava_core::vocabulary::Engine;

use self::scan::ProcessScan;
use super::{Changes, SourceHealth, WorkloadSource};
use crate::blocking::blocking;
use crate::inspect::InspectError;
use crate::procfs::ProcTree;
use crate::reads::{NotRead, Place, Reads};
use crate::workload::{Change, Workload};

/// The longest time for a scan. Nothing that is read then waits for a process or for a file of one.
const SCAN_TIME_MAX: Duration = Duration::from_secs(30);

/// The workload of a process of the host, for embedders that know which process they mean.
///
/// # Errors
/// [`InspectError::Ended`] if there is no such process, or it is a thread of the kernel.
pub fn host_workload(tree: &ProcTree, pid: u32) -> Result<Workload, InspectError> {
    let found = ProcessScan::new(tree.clone()).scan_one(pid).map_err(InspectError::from_io)?;
    found.ok_or(InspectError::Ended)
}

/// Watches the host by scanning `/proc`.
#[derive(Debug)]
pub(super) struct Host {
    tree: ProcTree,
    reads: Reads,
    interval: Duration,
}

/// Why a scan gave no list.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error("/proc is {0}")]
    NotRead(NotRead),
    #[error("/proc cannot be read")]
    Io(#[from] io::Error),
}

impl Host {
    pub(super) fn new(tree: ProcTree, reads: Reads, interval: Duration) -> Self {
        Self { tree, reads, interval }
    }

    /// The workloads that run, if they have to be listed. `scan` holds what the last scan saw. A scan that hangs keeps that, and the next one begins
    /// anew.
    async fn scan(&self, scan: &mut Option<ProcessScan>) -> Result<Option<Vec<Workload>>, ScanError> {
        let (tree, mut reader) = (self.tree.clone(), self.reads.patient_reader(SCAN_TIME_MAX));
        let mut last = scan.take();
        let read = move |_: &_| {
            let scan = last.get_or_insert_with(|| ProcessScan::new(tree));
            let found = scan.scan();
            (last, found)
        };
        let (last, found) = blocking(move || reader.read(Place::Node("processes"), read))
            .await
            .map_err(ScanError::NotRead)?;
        *scan = last;
        Ok(found?)
    }
}

#[async_trait]
impl WorkloadSource for Host {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let mut scan = None;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.scan(&mut scan).await {
                Ok(None) => health.works(),
                Ok(Some(workloads)) => {
                    health.works();
                    let listed = Change::Listed { engine: Engine::Host, workloads };
                    if changes.report(listed).await.is_err() {
                        return;
                    }
                }
                Err(error) => health.failed(&error),
            }
        }
    }
}
