//! Inspections: what is read of a workload that started, when, and how much at a time.
//!
//! A *collector* reads one kind of fact and returns it with its evidence. [`process`] calls the
//! collectors for one process; the [`Inspector`] decides when to look and limits how many inspections
//! run at once.

mod command_line;
mod executable;
mod files;
mod libraries;
mod library;
mod mapped;
mod oci_runtime;
mod prepared;
mod process;
mod subject;

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use zastava_core::telemetry::{Counter, OBSERVER_INSPECTIONS, Telemetry};

pub(crate) use self::command_line::cap_arguments;
pub use self::prepared::{PreparedProgram, WaitingProcess};
use self::process::Stage;
pub use self::process::{InspectError, ProcessFacts, ProcessInspector, ProcessTarget};
use crate::blocking::blocking;
use crate::workload::Workload;

/// The most processes that are read at once.
const INSPECTIONS_MAX: usize = 4;
/// The most inspections that wait for files that do not answer. They do no work, so others are read meanwhile.
const LATE_MAX: usize = 60;
/// An inspection that takes so long waits for something.
pub(crate) const LATE_AFTER: Duration = Duration::from_millis(100);
/// An engine may report a start before the OCI runtime executes the program, and nothing announces
/// that it does. The process is read so often, with this pause in between.
const STAGE_READS_MAX: usize = 50;
const STAGE_PAUSE: Duration = Duration::from_millis(10);
/// A program that has just started is still loading its libraries. It is read again after this pause.
const LOADING_PAUSE: Duration = Duration::from_millis(50);

/// Reads the main processes of workloads.
#[derive(Debug)]
pub(crate) struct Inspector {
    processes: ProcessInspector,
    permits: Semaphore,
    late_permits: Semaphore,
    inspections: Counter,
}

impl Inspector {
    pub(crate) fn new(processes: ProcessInspector, telemetry: &Telemetry) -> Self {
        Self {
            processes,
            permits: Semaphore::new(INSPECTIONS_MAX),
            late_permits: Semaphore::new(LATE_MAX),
            inspections: telemetry.counter(OBSERVER_INSPECTIONS),
        }
    }

    /// Reads a workload that has just started.
    pub(crate) async fn inspect(&self, workload: &Workload) -> Result<ProcessFacts, InspectError> {
        let target = ProcessTarget {
            pid: workload.pid,
            start_ticks: workload.start_ticks,
            cgroup: workload.cgroup.clone(),
        };
        let found = self.read_when_started(&target).await;
        let outcome = found.as_ref().map_or_else(InspectError::outcome, |_| "read");
        self.inspections.add(&[outcome], 1);
        found
    }

    /// Reads again while the OCI runtime prepares the container, and while a young program loads its
    /// libraries. If the process ends before it is read for the second time, or too early in it, the first read counts.
    async fn read_when_started(&self, target: &ProcessTarget) -> Result<ProcessFacts, InspectError> {
        let mut reads = 1;
        loop {
            match self.read(Stage::Started, target).await {
                Err(InspectError::NotStarted) if reads < STAGE_READS_MAX => {
                    reads += 1;
                    tokio::time::sleep(STAGE_PAUSE).await;
                }
                // No OCI runtime takes so long. Its looks are no reason to say nothing of a workload.
                Err(InspectError::NotStarted) => return self.read(Stage::Any, target).await,
                Ok(facts) if ProcessInspector::is_young(&facts, LOADING_PAUSE) => {
                    tokio::time::sleep(LOADING_PAUSE).await;
                    let again = self.read(Stage::Started, target).await.ok();
                    let again = again.filter(|again| !again.is_less_than(&facts));
                    return Ok(again.unwrap_or(facts));
                }
                found => return found,
            }
        }
    }

    async fn read(&self, stage: Stage, target: &ProcessTarget) -> Result<ProcessFacts, InspectError> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let (processes, target) = (self.processes.clone(), target.clone());
        let mut found = pin!(blocking(move || processes.inspect_at(stage, &target)));
        if let Ok(found) = tokio::time::timeout(LATE_AFTER, &mut found).await {
            return found;
        }
        // Either permit is held until the end.
        let _permit = self.late_permits.try_acquire().unwrap_or(permit);
        found.await
    }
}
