//! Inspections: what is read of a workload that started, when, and how much at a time.
//!
//! A *collector* reads one kind of fact and returns it with its evidence. [`process`] calls the
//! collectors for one process; the [`Inspector`] decides when to look and limits how many inspections
//! run at once.

mod command_line;
mod container_root;
mod descendants;
mod drift;
mod entry_trace;
mod entrypoint;
mod executable;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod interpreter;
mod libraries;
mod library;
mod look;
mod mapped;
mod oci_runtime;
mod prepared;
mod process;
mod shebang;
mod shell;
mod subject;

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use zastava_core::contract::Evidence;
use zastava_core::telemetry::{Counter, OBSERVER_INSPECTIONS, Telemetry};
use zastava_core::vocabulary::{Engine, Signal};

pub(crate) use self::command_line::cap_arguments;
pub use self::drift::{Drift, Verdict};
pub use self::interpreter::{InterpretedProgram, Interpreter};
pub(crate) use self::look::{Looked, Seen};
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
const LATE_AFTER: Duration = Duration::from_millis(100);
/// An engine may report a start before the OCI runtime executes the program, and nothing announces that it does. So the
/// process is read again after these pauses, the last of which repeats.
const PAUSES_MS: [u64; 4] = [2, 4, 8, 16];
/// The most reads of a process that is not the program yet.
const STAGE_READS_MAX: usize = 40;
/// A program that has just started is still loading its libraries. It is read again until two reads agree, after the same
/// pauses. The host is only scanned now and then, so its processes are given all that time at once.
const LOADING_MAX: Duration = Duration::from_millis(50);

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
        let found = match workload.engine {
            Engine::Host => self.read_on_host(&target).await,
            _ => self.read_when_started(&target, workload.prepared.as_deref()).await,
        };
        self.count(&found);
        let mut facts = found?;
        if let Some(declared) = workload.declared.clone() {
            let (processes, target) = (self.processes.clone(), target);
            // The program has run for a while; that it ends just now is no reason to say nothing of it.
            let traced = blocking(move || processes.entry_trace(&target, &declared)).await;
            facts.entry_trace = traced.unwrap_or_default();
        }
        if workload.engine != Engine::Host {
            let made_ticks = facts.start_ticks;
            self.add_drift(&mut facts, made_ticks).await;
            let expected = workload.prepared.as_deref().and_then(|prepared| prepared.expected.as_deref());
            facts.drift.extend(expected.and_then(|expected| entrypoint::differs(&facts, expected)));
        }
        Ok(facts)
    }

    fn count(&self, found: &Result<ProcessFacts, InspectError>) {
        let outcome = found.as_ref().map_or_else(InspectError::outcome, ProcessFacts::outcome);
        self.inspections.add(&[outcome], 1);
    }

    /// The container was made at these clock ticks since boot.
    async fn add_drift(&self, facts: &mut ProcessFacts, made_ticks: u64) {
        // Whether that is the workload is not certain.
        if facts.evidence.iter().any(|evidence| evidence.signal == Signal::Proc) {
            return;
        }
        let (processes, of) = (self.processes.clone(), facts.clone());
        match blocking(move || processes.drift_since(&of, made_ticks)).await {
            Ok(drift) => facts.drift = drift,
            Err(reason) => {
                let reason = format!("not compared with the image: {reason}");
                facts.evidence.push(Evidence::new(Signal::ProcMountinfo, reason));
            }
        }
    }

    async fn read_on_host(&self, target: &ProcessTarget) -> Result<ProcessFacts, InspectError> {
        let stage = Stage::Started { runtime: None };
        let facts = match self.read(stage, target).await {
            Err(InspectError::NotStarted) => self.read(Stage::Any, target).await?,
            found => found?,
        };
        if !ProcessInspector::is_young(&facts, LOADING_MAX) {
            return Ok(facts);
        }
        tokio::time::sleep(LOADING_MAX).await;
        let again = self.read(stage, target).await.ok();
        Ok(again.filter(|again| !again.is_less_than(&facts)).unwrap_or(facts))
    }

    /// Reads again while the OCI runtime prepares the container, and while a young program loads its libraries. If the process
    /// ends before it is read again, or too early in it, the read before counts, or what was found before its start.
    async fn read_when_started(
        &self,
        target: &ProcessTarget,
        prepared: Option<&PreparedProgram>,
    ) -> Result<ProcessFacts, InspectError> {
        let stage = Stage::Started { runtime: prepared.and_then(|prepared| prepared.runtime) };
        let is_known = prepared.is_some_and(|prepared| !prepared.chain.is_empty());
        let mut before: Option<ProcessFacts> = None;
        let mut reads = 0;
        loop {
            let found = self.read(stage, target).await;
            reads += 1;
            match (found, before.take()) {
                (Err(InspectError::NotStarted), None) if reads < STAGE_READS_MAX => {}
                (Err(InspectError::NotStarted), None) if is_known => return Err(InspectError::NotStarted),
                // No OCI runtime takes so long. Its looks are no reason to say nothing of a workload.
                (Err(InspectError::NotStarted), None) => return self.read(Stage::Any, target).await,
                (Ok(facts), before) if facts.ended_without_build_id() && (is_known || before.is_some()) => {
                    return before.ok_or(InspectError::Ended);
                }
                (Ok(facts), known) => {
                    let agrees = known.is_some_and(|known| facts.has_loaded_since(&known));
                    let is_young = ProcessInspector::is_young(&facts, LOADING_MAX);
                    if agrees || !is_young || reads > PAUSES_MS.len() {
                        return Ok(facts);
                    }
                    before = Some(facts);
                }
                (Err(_), Some(before)) => return Ok(before),
                (Err(error), None) => return Err(error),
            }
            let pause = PAUSES_MS[(reads - 1).min(PAUSES_MS.len() - 1)];
            tokio::time::sleep(Duration::from_millis(pause)).await;
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::options::CollectOptions;
    use crate::procfs::ProcTree;
    use crate::workload::DeclaredProcess;

    #[test]
    fn the_root_of_a_process_that_has_ended_is_found_on_the_node() {
        let bundle = tempfile::tempdir().expect("a directory");
        let program = bundle.path().join("rootfs/bin/app");
        std::fs::create_dir_all(program.parent().expect("has one")).expect("a directory");
        std::fs::copy("/bin/true", &program).expect("can be copied");
        let processes =
            ProcessInspector::new(ProcTree::open("/proc").expect("is there"), CollectOptions::default());
        let mut ended = Command::new("/bin/true").spawn().expect("is installed");
        ended.wait().expect("ends");
        assert!(processes.hold(ended.id()).is_err());
        let held = processes.hold_ended(ended.id(), &bundle.path().join("rootfs")).expect("is there");
        let declared = DeclaredProcess { args: vec!["/bin/app".to_owned()], ..DeclaredProcess::default() };
        let prepared = processes.resolve(held, &declared);
        assert_eq!(prepared.chain, ["/bin/app"]);
        assert!(prepared.build_id.is_some(), "{prepared:?}");
        assert!(
            processes.hold_ended(ended.id(), &bundle.path().join("rootfs/bin/app")).is_err(),
            "is no directory"
        );
    }

    #[tokio::test]
    async fn the_oci_runtime_is_known_by_its_file_and_waited_for() {
        // The shell stands for an OCI runtime whose name nobody knows.
        let mut command = Command::new("/bin/sh");
        let command = command.args(["-c", "read go; exec /bin/sleep 300"]).stdin(Stdio::piped());
        let mut child = command.spawn().expect("is installed");
        let processes =
            ProcessInspector::new(ProcTree::open("/proc").expect("is there"), CollectOptions::default());
        let inspector = Inspector::new(processes.clone(), &Telemetry::detached());
        let waiting = processes.hold(child.id()).expect("runs");
        let declared = DeclaredProcess { args: vec!["/bin/sleep".to_owned()], ..DeclaredProcess::default() };
        let prepared = processes.resolve(waiting, &declared);
        let target = ProcessTarget { pid: child.id(), ..ProcessTarget::default() };
        let found = inspector.read_when_started(&target, Some(&prepared)).await;
        assert!(matches!(found, Err(InspectError::NotStarted)), "{found:?}");
        child.stdin.take().expect("is piped").write_all(b"go\n").expect("is read");
        let facts = loop {
            match inspector.read_when_started(&target, Some(&prepared)).await {
                Err(InspectError::NotStarted) => {}
                found => break found.expect("runs"),
            }
        };
        assert_eq!(facts.arguments, ["/bin/sleep", "300"]);
        assert_eq!(facts.build_id, prepared.build_id);
        child.kill().expect("runs");
        child.wait().expect("ends");
    }

    #[tokio::test]
    async fn a_program_that_runs_already_is_not_taken_for_the_oci_runtime() {
        let processes =
            ProcessInspector::new(ProcTree::open("/proc").expect("is there"), CollectOptions::default());
        let inspector = Inspector::new(processes.clone(), &Telemetry::detached());
        let mut child = Command::new("/bin/sleep").arg("300").spawn().expect("is installed");
        let declared = |args: &[&str]| {
            let args = args.iter().map(|&word| word.to_owned()).collect();
            DeclaredProcess { args, ..DeclaredProcess::default() }
        };
        let target = ProcessTarget { pid: child.id(), ..ProcessTarget::default() };
        for args in [&["/bin/sleep", "300"][..], &["/bin/sh", "-c", "exec /bin/sleep 300"]] {
            let waiting = processes.hold(child.id()).expect("runs");
            let prepared = processes.resolve(waiting, &declared(args));
            let found = inspector.read_when_started(&target, Some(&prepared)).await;
            assert_eq!(found.expect("runs").arguments, ["/bin/sleep", "300"], "{args:?}");
        }
        child.kill().expect("runs");
        child.wait().expect("ends");
    }
}
