//! Whether a container's main process runs what its specification leads to.
//!
//! Before the start it is looked up which files that may be: the program with its interpreters, each program on the entry trace,
//! and whatever an argument names, since a wrapper starts that. A specification whose trace ends in the unknown is not judged.

use std::path::Path;

use zastava_core::contract::EntryTrace;
use zastava_core::vocabulary::Signal;
use zastava_elf::Device;

use super::drift::{Drift, Verdict};
use super::prepared::{ContainerRoot, FoundProgram, PreparedProgram};
use super::process::ProcessFacts;

/// The most arguments that are looked up, and the longest.
const ARGUMENTS_MAX: usize = 8;
const ARGUMENT_BYTES_MAX: usize = 256;
/// Buildpacks' launchers execute what a file of theirs says.
const LAUNCHERS: &str = "/cnb/";

/// What an interpreter runs is no file that the kernel executes.
const OF_INTERPRETERS: [&str; 4] = ["script", "module", "jar", "class"];

/// The files that the specification leads to, by device and inode; `None` if it may lead to others.
pub(super) fn expected(
    container: &ContainerRoot<'_>,
    chain: &[String],
    trace: &[EntryTrace],
) -> Option<Vec<(Device, u64)>> {
    if chain.first()?.starts_with(LAUNCHERS) || trace.last()?.target.is_none() {
        return None;
    }
    let mut found = Vec::new();
    for path in chain {
        found.push(container.file_at(Path::new(path)).ok()?);
    }
    for step in trace {
        let is_of_interpreter = step.op.as_deref().is_some_and(|op| OF_INTERPRETERS.contains(&op));
        if let (Some(target), false) = (&step.target, is_of_interpreter) {
            found.push(container.program(target).ok()?);
        }
    }
    let arguments = container.process.args.iter().skip(1).take(ARGUMENTS_MAX);
    let words = arguments.filter(|word| !word.is_empty() && word.len() <= ARGUMENT_BYTES_MAX);
    found.extend(words.filter_map(|word| container.program(word).ok()));
    let file = |program: FoundProgram| {
        let version = program.file.version();
        (version.device, version.inode)
    };
    Some(found.into_iter().map(file).collect())
}

/// The program that runs, if the specification leads to others only.
pub(super) fn differs(facts: &ProcessFacts, prepared: &PreparedProgram) -> Option<Drift> {
    let (expected, runs) = (prepared.expected.as_ref()?, facts.executable?);
    if expected.contains(&(runs.device, runs.inode)) {
        return None;
    }
    let is_path = |signal: &Signal| [Signal::ProcExe, Signal::ProcExeDeleted].contains(signal);
    let path = facts
        .evidence
        .iter()
        .find(|evidence| evidence.signal.listed().is_some_and(|signal| is_path(&signal)))?;
    Some(Drift {
        path: path.value.clone(),
        verdict: Verdict::EntrypointDiffers,
        method: Signal::SpecProgram,
        sha256: None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::inspect::{ProcessInspector, ProcessTarget};
    use crate::options::CollectOptions;
    use crate::procfs::ProcTree;
    use crate::workload::DeclaredProcess;

    /// Whether it is seen that `sleep` runs in a container with this specification. A shell stands for the OCI runtime.
    fn is_other_than(specification: &[&str]) -> bool {
        let mut command = Command::new("/bin/sh");
        let command = command.args(["-c", "read go; exec /bin/sleep 300"]).stdin(Stdio::piped());
        let mut child = command.spawn().expect("is installed");
        let processes =
            ProcessInspector::new(ProcTree::open("/proc").expect("is there"), CollectOptions::default());
        let args = specification.iter().map(|&word| word.to_owned()).collect();
        let declared = DeclaredProcess { args, ..DeclaredProcess::default() };
        let prepared = processes.resolve(processes.hold(child.id()).expect("waits"), &declared);
        child.stdin.take().expect("is piped").write_all(b"go\n").expect("is read");
        let target = ProcessTarget { pid: child.id(), ..ProcessTarget::default() };
        // While it executes the program it has no arguments.
        while processes
            .inspect(&target)
            .expect("runs")
            .arguments
            .first()
            .is_none_or(|word| word != "/bin/sleep")
        {}
        // The read before may have begun when the shell still ran.
        let facts = processes.inspect(&target).expect("runs");
        child.kill().expect("runs");
        child.wait().expect("ends");
        let found = differs(&facts, &prepared);
        assert!(found.iter().all(|drift| drift.path.ends_with("/sleep") && drift.verdict.is_drift()));
        found.is_some()
    }

    #[test]
    fn a_program_that_the_specification_does_not_lead_to_is_seen() {
        assert!(is_other_than(&["/bin/cat"]));
        assert!(is_other_than(&["/bin/sh", "-c", "exec /bin/cat"]));
    }

    #[test]
    fn what_the_specification_may_lead_to_is_no_drift() {
        for specification in [
            &["/bin/sleep", "300"][..],
            &["/bin/sh", "-c", "exec /bin/sleep 300"],
            // It may become anything.
            &["/bin/sh", "-c", "exec \"$PROGRAM\""],
            // A wrapper starts what an argument names.
            &["/bin/cat", "--", "/bin/sleep", "300"],
            &["/not/there"],
            &[],
        ] {
            assert!(!is_other_than(specification), "{specification:?}");
        }
    }
}
