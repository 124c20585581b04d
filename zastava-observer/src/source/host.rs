//! The processes of the host as workloads: services, and what sessions run.
//!
//! Each scan reads every process, groups the processes, and reports all groups as a list. Processes
//! belong together by the cgroup that a service manager or container engine made for them. Without one,
//! they belong together by process group, so that each command of a shell is a workload
//! (docs/design/observer.md#what-is-a-workload-of-the-host-engine).

mod groups;
mod scan;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::MissedTickBehavior;
use zastava_core::vocabulary::Engine;

use self::scan::ProcessScan;
use super::{Changes, SourceHealth, WorkloadSource};
use crate::blocking::blocking;
use crate::inspect::InspectError;
use crate::procfs::ProcTree;
use crate::workload::{Change, Workload};

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
    scan: ProcessScan,
    interval: Duration,
}

impl Host {
    pub(super) fn new(tree: ProcTree, interval: Duration) -> Self {
        Self { scan: ProcessScan::new(tree), interval }
    }
}

#[async_trait]
impl WorkloadSource for Host {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let mut scan = self.scan;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (returned, found) = blocking(move || {
                let found = scan.scan();
                (scan, found)
            })
            .await;
            scan = returned;
            match found {
                Ok(workloads) => {
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
