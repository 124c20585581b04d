//! Whether a container's main process runs what its specification leads to.
//!
//! Before the start it is looked up which files that may be: the program with its interpreters, and each program on the entry
//! trace. A specification that may lead to others is not judged: its trace ends in the unknown or is not whole, one of its
//! programs starts what a file of its own says, or an argument names a program that the trace does not, so that an unknown wrapper
//! may start that.

use std::path::Path;

use zastava_core::vocabulary::Signal;

use super::container_root::{ContainerRoot, FoundProgram};
use super::drift::{Drift, Verdict};
use super::entry_trace::Trace;
use super::executable::FileId;
use super::process::ProcessFacts;

/// The most arguments that are looked up, and the longest.
const ARGUMENTS_MAX: usize = 8;
const ARGUMENT_BYTES_MAX: usize = 256;
/// Parts of the paths of programs that execute what a file of theirs says: the launchers of buildpacks, of Rust's toolchains and of
/// Erlang's releases.
const LAUNCHERS: [&str; 3] = ["/cnb/", "cargo/bin/", "/erlexec"];

/// What an interpreter runs is no file that the kernel executes.
const OF_INTERPRETERS: [&str; 4] = ["script", "module", "jar", "class"];

/// The files that the specification leads to; `None` if it may lead to others.
pub(super) fn expected(
    container: &ContainerRoot<'_>,
    chain: &[String],
    trace: &Trace,
) -> Option<Vec<FileId>> {
    let ends_known = trace.steps.last()?.target.is_some();
    let targets = trace.steps.iter().filter_map(|step| step.target.as_ref());
    let mut programs = chain.iter().chain(targets);
    if !trace.is_whole || !ends_known || programs.any(|path| is_launcher(path)) {
        return None;
    }
    let mut found = Vec::new();
    for path in chain {
        found.push(file(&container.file_at(Path::new(path)).ok()?));
    }
    // What interpreters run, if it is executable.
    let mut scripts = Vec::new();
    for step in &trace.steps {
        let is_of_interpreter = step.op.as_deref().is_some_and(|op| OF_INTERPRETERS.contains(&op));
        match (&step.target, is_of_interpreter) {
            (Some(target), true) => scripts.extend(container.program(target).ok().as_ref().map(file)),
            (Some(target), false) => found.push(file(&container.program(target).ok()?)),
            (None, _) => {}
        }
    }
    let arguments = container.process.args.iter().skip(1).take(ARGUMENTS_MAX);
    let words = arguments.filter(|word| !word.is_empty() && word.len() <= ARGUMENT_BYTES_MAX);
    let mut named = words.filter_map(|word| container.program(word).ok());
    let leads_elsewhere =
        named.any(|program| ![&found, &scripts].iter().any(|of| of.contains(&file(&program))));
    (!leads_elsewhere).then_some(found)
}

fn is_launcher(path: &str) -> bool {
    LAUNCHERS.iter().any(|launcher| path.contains(launcher))
}

fn file(program: &FoundProgram) -> FileId {
    program.file.version().into()
}

/// The program that runs, if it is none of those that the specification leads to.
pub(super) fn differs(facts: &ProcessFacts, expected: &[FileId]) -> Option<Drift> {
    if expected.contains(&facts.executable?.id) {
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
    use std::fs::{self, Permissions};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
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
        let found = prepared.expected.and_then(|expected| differs(&facts, &expected));
        assert!(found.iter().all(|drift| drift.path.ends_with("/sleep") && drift.verdict.is_drift()));
        found.is_some()
    }

    #[test]
    fn a_program_that_the_specification_does_not_lead_to_is_seen() {
        assert!(is_other_than(&["/bin/cat"]));
        assert!(is_other_than(&["/bin/sh", "-c", "exec /bin/cat"]));
        assert!(is_other_than(&["/bin/cat", "/etc/passwd"]));
    }

    #[test]
    fn what_is_not_followed_may_lead_anywhere() {
        let files = tempfile::tempdir().expect("a directory");
        let long = format!("#!/bin/sh\nexec /bin/cat\n{}", "#".repeat(70 << 10));
        for (name, content) in [
            ("of-another-interpreter", "#!/bin/cat\n"),
            ("of-another-interpreter-by-env", "#!/usr/bin/env cat\n"),
            ("not-understood", "#!/bin/sh\nif\n"),
            ("too-long", &long),
            ("too-deep", "#!/bin/sh\nf() { f; exec /bin/cat; }\nf\nexec /bin/cat\n"),
            ("without-end", "#!/bin/sh\nwhile true; do true; done\nexec /bin/cat\n"),
            ("of-unknown-parts", "#!/bin/sh\n. /not/there\nexec /bin/cat\n"),
            ("cargo/bin/tool", "#!/bin/sh\nexec /bin/cat\n"),
            ("erlexec", "#!/bin/sh\nexec /bin/cat\n"),
        ] {
            assert!(!is_other_than(&[&executable(&files, name, content)]), "{name}");
        }
        let followed = executable(&files, "followed", "#!/bin/sh\nexec /bin/cat\n");
        assert!(is_other_than(&[&followed]));
        // A wrapper that nobody knows.
        for wrapped in [&["/bin/sh", "-c", "exec /bin/sleep 300"][..], &[&followed]] {
            assert!(!is_other_than(&[&["/usr/sbin/chroot", "/"], wrapped].concat()), "{wrapped:?}");
        }
    }

    /// The path of a new executable file.
    fn executable(directory: &tempfile::TempDir, name: &str, content: &str) -> String {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        fs::write(&path, content).expect("can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("can be set");
        path.to_str().expect("is text").to_owned()
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
