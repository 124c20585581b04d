//! What is read of a container between its creation and its start.
//!
//! The directory of its task on the node holds the specification and, until the task is deleted, the root. So nothing of this
//! waits for containerd: of a container that ends at once, record and root may be gone before the answer comes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::event::Bundle;
use crate::blocking::blocking;
use crate::inspect::{InspectError, PreparedProgram, ProcessInspector, WaitingProcess};
use crate::procfs::ProcTree;
use crate::reads::{Place, READ_TIME_MAX};
use crate::source::Processes;
use crate::source::oci_spec::OciSpec;
use crate::workload::DeclaredProcess;

/// The most that is read of a specification. Ordinary ones have 10 to 30 KB.
const SPEC_BYTES_MAX: u64 = 4 << 20;

/// What was read of a container as soon as it was named.
#[derive(Debug)]
pub(super) struct Captured {
    /// Of its process; `None` if that had ended.
    pub(super) start_ticks: Option<u64>,
    /// The specification in the task's directory.
    pub(super) spec: Option<OciSpec>,
    program: Option<Program>,
}

/// The program that the container will execute.
#[derive(Debug)]
enum Program {
    Read(PreparedProgram),
    /// Only its root is there: the task's directory says no program.
    In(WaitingProcess),
}

impl Captured {
    /// Reads a container that has started: its program runs, and is read by the inspection.
    pub(super) async fn started(processes: &Processes, pid: u32) -> Self {
        Self { start_ticks: processes.start_ticks(pid).await, spec: None, program: None }
    }

    /// Reads the container of a process that waits for its start. If the event came so late that the process has ended, the
    /// root is still mounted in the task's directory.
    pub(super) async fn created(
        inspector: ProcessInspector,
        processes: Processes,
        pid: u32,
        Bundle(bundle): Bundle,
    ) -> Self {
        blocking(move || {
            let bundle = (!bundle.is_empty()).then(|| PathBuf::from(bundle));
            let held = inspector.hold(pid);
            let spec = bundle.as_deref().and_then(|bundle| read_spec(&processes, bundle));
            let held = match spec.as_ref().and_then(OciSpec::cgroup_name) {
                Some(name) => held.and_then(|held| inspector.in_cgroup(held, name)),
                None => held,
            };
            let start_ticks = held.as_ref().ok().and_then(WaitingProcess::start_ticks);
            let held = held.or_else(|ended| match &bundle {
                Some(bundle) => hold_ended(&inspector, pid, bundle, spec.as_ref()).map_err(|_| ended),
                None => Err(ended),
            });
            let program = match (held, &spec) {
                (Ok(held), Some(spec)) => Program::Read(inspector.resolve(held, spec.process())),
                (Ok(held), None) => Program::In(held),
                (Err(error), _) => Program::Read(PreparedProgram::not_held(&error)),
            };
            Self { start_ticks, spec, program: Some(program) }
        })
        .await
    }

    /// The program; that of `declared` if the task's directory says none.
    pub(super) async fn program(
        self,
        inspector: ProcessInspector,
        declared: Option<&DeclaredProcess>,
    ) -> Option<PreparedProgram> {
        match (self.program?, declared.cloned()) {
            (Program::Read(program), _) => Some(program),
            (Program::In(held), Some(declared)) => {
                Some(blocking(move || inspector.resolve(held, &declared)).await)
            }
            (Program::In(_), None) => None,
        }
    }
}

fn hold_ended(
    inspector: &ProcessInspector,
    pid: u32,
    bundle: &Path,
    spec: Option<&OciSpec>,
) -> Result<WaitingProcess, InspectError> {
    inspector.hold_ended(pid, &bundle.join(spec.and_then(OciSpec::root).unwrap_or("rootfs")))
}

/// The specification that the OCI runtime was given.
fn read_spec(processes: &Processes, bundle: &Path) -> Option<OciSpec> {
    let (tree, path) = (processes.tree.clone(), bundle.join("config.json"));
    let read = move |_: &_| read_file(&tree, &path);
    let read = processes.reads.reader(READ_TIME_MAX).read(Place::Node("bundles"), read);
    OciSpec::parse(&read.ok()?.ok()?)
}

fn read_file(tree: &ProcTree, path: &Path) -> io::Result<Vec<u8>> {
    let file = tree.on_node(|root| root.open_regular(path))?;
    let mut content = Vec::new();
    File::from(OwnedFd::from(file)).take(SPEC_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}
