//! The program of a container that is about to start.
//!
//! When an engine has created a container, the OCI runtime's process waits in the container's root for the order to
//! execute the program. So the program is there to be read before its first instruction, however short it runs.

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use zastava_core::contract::{EntryTrace, Evidence};
use zastava_core::vocabulary::{Provenance, Signal};
use zastava_elf::{FileVersion, Process, Root};

use super::container_root::{ContainerRoot, FoundProgram, Miss};
use super::entry_trace::{self, Trace};
use super::executable::{ExecutableFile, FileId};
use super::files::Files;
use super::process::{InspectError, ProcessInspector, ProcessTarget};
use super::{entrypoint, shebang};
use crate::procfs::{self, Cgroups, Membership};
use crate::reads::{NotRead, Place, READ_TIME_MAX, Reader, UnderWay};
use crate::text::{bounded, shown};
use crate::workload::DeclaredProcess;

/// The most interpreters that are followed. Linux runs a script of a script of … five deep.
const DEPTH_MAX: usize = 8;

/// A process that waits in a container's root, held so that its pid cannot become another's.
///
/// It keeps the container's file systems mounted: resolve or drop it soon.
#[derive(Debug)]
pub struct WaitingProcess {
    pid: u32,
    start_ticks: Option<u64>,
    /// `None` if they are not known.
    cgroups: Option<Cgroups>,
    root: Arc<Root>,
    runtime: Option<FileId>,
}

impl WaitingProcess {
    /// When it started, in clock ticks since boot: of the container's process later as well, since `exec` keeps it. `None` if
    /// it has ended.
    #[must_use]
    pub fn start_ticks(&self) -> Option<u64> {
        self.start_ticks
    }
}

/// The program that a container executes first, as it was found in the container's root before that.
///
/// A program that is not an ELF file names its interpreter, which may be a script too. The facts are about the last
/// file of this chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreparedProgram {
    /// The paths of the program and its interpreters in the container. Links are not resolved. Empty if the program
    /// was not found.
    pub chain: Vec<String>,
    /// Which file the last one is.
    pub file: Option<FileVersion>,
    /// Its GNU build-id, in lower-case hex.
    pub build_id: Option<String>,
    /// The steps to the program that really runs, if they are wanted.
    pub entry_trace: Vec<EntryTrace>,
    /// Where the facts came from, and why others are missing.
    pub evidence: Vec<Evidence>,
    /// The files that the specification leads to; `None` if it may lead to others.
    pub(crate) expected: Option<Vec<FileId>>,
    /// The file that the process ran before that: the OCI runtime's.
    pub(crate) runtime: Option<FileId>,
}

impl PreparedProgram {
    /// How the facts were obtained: from the files if the program was found; otherwise only its name is declared.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        if self.chain.is_empty() { Provenance::Declared } else { Provenance::ResolvedBeforeExec }
    }

    /// Nothing: the process could not be held.
    pub(crate) fn not_held(error: &InspectError) -> Self {
        let mut nothing = Self::default();
        nothing.add(Signal::SpecProgram, &error.to_string());
        nothing
    }

    fn add(&mut self, signal: Signal, value: &str) {
        self.evidence.push(Evidence::new(signal, bounded(value)));
    }
}

impl ProcessInspector {
    /// Holds a process that an engine has created and not started yet. Call it as early as possible.
    ///
    /// # Errors
    /// If it has ended or cannot be read.
    pub fn hold(&self, pid: u32) -> Result<WaitingProcess, InspectError> {
        let tree = self.tree.clone();
        let hold = move |_: &UnderWay| {
            let process = tree.process(pid).map_err(InspectError::from_io)?;
            let stat = procfs::stat(&process).map_err(InspectError::from_io)?;
            let root = Process::root(&process).map_err(|error| InspectError::from_io(error.into()))?;
            let cgroups = procfs::cgroups(&process, &stat).ok();
            let (root, runtime) = (Arc::new(root), ExecutableFile::of(&process).map(|file| file.id));
            Ok(WaitingProcess { pid, start_ticks: Some(stat.start_ticks), cgroups, root, runtime })
        };
        self.reads.reader(READ_TIME_MAX).read(Place::Process { pid, file: "root" }, hold)?
    }

    /// The process, if it may be in the cgroup of this name. An OCI runtime puts it there before it says that the container is
    /// created: so a process that is elsewhere got the pid of one that has ended.
    pub(crate) fn in_cgroup(&self, held: WaitingProcess, name: &str) -> Result<WaitingProcess, InspectError> {
        let are_whole = self.tree.has_whole_cgroup_paths();
        match held.cgroups.as_ref().map(|cgroups| cgroups.membership(name, are_whole)) {
            Some(Membership::Outside) => Err(InspectError::OtherCgroup),
            _ => Ok(held),
        }
    }

    /// Holds the root of a process that has ended before it could be held: a directory of the node.
    pub(crate) fn hold_ended(&self, pid: u32, directory: &Path) -> Result<WaitingProcess, InspectError> {
        let (tree, directory) = (self.tree.clone(), directory.to_owned());
        let hold = move |_: &UnderWay| {
            let root = tree.on_node(|root| root.directory(&directory)).map_err(InspectError::from_io)?;
            let root = Arc::new(root);
            Ok(WaitingProcess { pid, start_ticks: None, cgroups: None, root, runtime: None })
        };
        self.reads.reader(READ_TIME_MAX).read(Place::LookUp { pid }, hold)?
    }

    /// Finds the program that the process will execute, as the OCI runtime does it: by the declared `PATH`, working
    /// directory and user.
    #[must_use]
    pub fn resolve(&self, waiting: WaitingProcess, declared: &DeclaredProcess) -> PreparedProgram {
        let mut reader = self.reads.reader(READ_TIME_MAX);
        let WaitingProcess { pid, root, runtime, .. } = waiting;
        let place = Place::LookUp { pid };
        let found = read(&mut reader, place, Arc::clone(&root), declared, Arc::clone(&self.files));
        let mut prepared = found.unwrap_or_else(|not_read| {
            let mut nothing = PreparedProgram::default();
            nothing.add(Signal::SpecProgram, &not_read.to_string());
            nothing
        });
        match self.trace(&mut reader, place, Arc::clone(&root), declared) {
            Ok(traced) => {
                let (process, chain, trace) = (declared.clone(), prepared.chain.clone(), traced.clone());
                let expected = reader.read(place, move |under_way| {
                    let container =
                        ContainerRoot { root: &root, process: &process, under_way, look_up: place };
                    entrypoint::expected(&container, &chain, &trace)
                });
                (prepared.entry_trace, prepared.expected) = (traced.steps, expected.ok().flatten());
            }
            Err(not_read) => prepared.add(Signal::SpecProgram, &format!("entry trace: {not_read}")),
        }
        // The creation may be handled after the program began.
        prepared.runtime = runtime.filter(|file| !prepared.may_run(*file));
        prepared
    }

    /// The steps from the declared program of a container that runs to the one that really runs; none if they are not
    /// wanted. The files are those of now, and no longer those of the start.
    ///
    /// # Errors
    /// If the process has ended or is another one, or its files did not answer.
    pub fn entry_trace(
        &self,
        target: &ProcessTarget,
        declared: &DeclaredProcess,
    ) -> Result<Vec<EntryTrace>, InspectError> {
        let held = self.hold(target.pid)?;
        if target.start_ticks.is_some_and(|ticks| Some(ticks) != held.start_ticks) {
            return Err(InspectError::Reused);
        }
        let (mut reader, place) = (self.reads.reader(READ_TIME_MAX), Place::LookUp { pid: target.pid });
        Ok(self.trace(&mut reader, place, held.root, declared)?.steps)
    }

    fn trace(
        &self,
        reader: &mut Reader,
        look_up: Place,
        root: Arc<Root>,
        declared: &DeclaredProcess,
    ) -> Result<Trace, NotRead> {
        if !self.options.entry_trace {
            return Ok(Trace::default());
        }
        let (process, steps_max) = (declared.clone(), self.options.entry_trace_steps_max);
        reader.read(look_up, move |under_way| {
            let container = ContainerRoot { root: &root, process: &process, under_way, look_up };
            entry_trace::trace(&container, steps_max)
        })
    }
}

fn read(
    reader: &mut Reader,
    look_up: Place,
    root: Arc<Root>,
    declared: &DeclaredProcess,
    files: Arc<Files>,
) -> Result<PreparedProgram, NotRead> {
    let process = declared.clone();
    reader.read(look_up, move |under_way| {
        let container = ContainerRoot { root: &root, process: &process, under_way, look_up };
        let mut prepared = PreparedProgram::default();
        let program = container.program(process.args.first().map_or("", String::as_str));
        match program.and_then(|program| container.follow(program, &mut prepared.chain)) {
            Ok(last) => prepared.read(&last, &files),
            Err(miss) => prepared.add(Signal::SpecProgram, &miss.to_string()),
        }
        prepared
    })
}

impl PreparedProgram {
    /// Whether the specification leads to this file.
    fn may_run(&self, file: FileId) -> bool {
        let last = self.file.map(FileId::from);
        self.expected.iter().flatten().chain(&last).any(|of| *of == file)
    }

    fn read(&mut self, last: &FoundProgram, files: &Files) {
        let version = last.file.version();
        self.file = Some(version);
        match files.build_id(version, &last.file) {
            Ok(id) => {
                self.evidence.extend(super::executable::shared_id_evidence(&id));
                self.build_id = Some(id);
            }
            Err(reason) => self.add(Signal::ElfBuildId, &reason),
        }
    }
}

impl ContainerRoot<'_> {
    /// Follows the program through its interpreters to the file that the kernel loads, and through `env` to the program
    /// that it starts. `chain` gets every path on the way.
    fn follow(&self, mut program: FoundProgram, chain: &mut Vec<String>) -> Result<FoundProgram, Miss> {
        loop {
            chain.push(shown(&program.path));
            let mut head = [0; shebang::HEAD_BYTES];
            let Some(line) = shebang::parse(program.read_head(&mut head)?) else { return Ok(program) };
            if chain.len() > DEPTH_MAX {
                return Err(Miss::Unreadable(format!("more than {DEPTH_MAX} interpreters")));
            }
            let interpreter = Path::new(OsStr::from_bytes(line.interpreter));
            let within = |miss| Miss::Unreadable(format!("interpreter {}: {miss}", shown(interpreter)));
            program = self.program_at(interpreter).map_err(within)?;
            let is_env = interpreter.file_name().is_some_and(|name| name == "env");
            let argument = line.argument.and_then(|argument| std::str::from_utf8(argument).ok());
            if let Some(name) = argument.filter(|_| is_env).and_then(shebang::env_program) {
                chain.push(shown(&program.path));
                program =
                    self.program(name).map_err(|miss| Miss::Unreadable(format!("{name} of env: {miss}")))?;
            }
        }
    }
}
