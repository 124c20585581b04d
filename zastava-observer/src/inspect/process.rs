//! Inspects one process: calls each collector, and makes sure that all of them read the same process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::{EntryTrace, Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;
use zastava_elf::{KernelPath, Process};

use super::drift::Drift;
use super::executable::{ExecutableFile, FileId};
use super::files::{BuildIdAnswer, Files};
use super::interpreter::Interpreter;
use super::libraries::Libraries;
use super::mapped::Program;
use super::subject::Subject;
use super::{command_line, executable, oci_runtime};
use crate::options::CollectOptions;
use crate::procfs::{self, Cgroups, Membership, ProcTree, Stat, is_gone};
use crate::reads::{NotRead, Place, READ_TIME_MAX, Reads};
use crate::text::bounded;

/// The longest time for one process, even if several of its files do not answer.
const INSPECTION_TIME_MAX: Duration = Duration::from_secs(4);

/// Which process is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers say which process they mean")]
pub struct ProcessTarget {
    /// Its id in the tree's pid namespace.
    pub pid: u32,
    /// When it started. If it is known, another process with the same pid is refused.
    pub start_ticks: Option<u64>,
    /// What its cgroup path must contain, if that is known.
    pub cgroup: Option<String>,
}

/// What was read of a process. `evidence` holds the reason of every fact that is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessFacts {
    /// Its id in the tree's pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Program and arguments: as many as the options allow, with secrets masked.
    pub arguments: Vec<String>,
    /// The GNU build-id of the executable, in lower-case hex.
    pub build_id: Option<String>,
    /// Which file it runs.
    pub(crate) executable: Option<ExecutableFile>,
    /// The steps from the declared program to this one, if they were asked for.
    pub entry_trace: Vec<EntryTrace>,
    /// The interpreter or virtual machine that it is, if it is one.
    pub interpreter: Option<Interpreter>,
    /// The shared objects that are mapped as code.
    pub libraries: Vec<LoadedLibrary>,
    /// Files that run and are not the image's, of a container.
    pub drift: Vec<Drift>,
    /// Where the facts came from, and why others are missing.
    pub evidence: Vec<Evidence>,
}

impl ProcessFacts {
    /// The value of the metric's label `outcome`: `partly` if the process ended while it was read, or a file did not answer.
    pub(super) fn outcome(&self) -> &'static str {
        let is_cut_short = |evidence: &Evidence| {
            evidence.signal == Signal::ProcStat || evidence.value.contains("not read in time")
        };
        if self.evidence.iter().any(is_cut_short) { "partly" } else { "read" }
    }

    /// Whether the process ended before its build-id was read.
    pub(super) fn ended_without_build_id(&self) -> bool {
        self.build_id.is_none() && self.evidence.iter().any(|evidence| evidence.signal == Signal::ProcStat)
    }

    /// Whether the program has loaded its libraries, since an earlier read found the same. A dynamic loader alone has only
    /// begun: libc at least comes with it.
    pub(super) fn has_loaded_since(&self, earlier: &Self) -> bool {
        let paths =
            |facts: &Self| facts.libraries.iter().map(|library| library.path.clone()).collect::<Vec<_>>();
        let is_loader = |path: &str| {
            path.rsplit('/').next().is_some_and(|name| {
                ["ld-linux", "ld.so", "ld64.so"].iter().any(|loader| name.starts_with(loader))
            })
        };
        let only_loader = matches!(&self.libraries[..], [library] if is_loader(&library.path));
        !only_loader && paths(self) == paths(earlier)
    }

    /// Whether these lack the build-id that an earlier read found, because the process ended while it was read.
    pub(super) fn is_less_than(&self, earlier: &Self) -> bool {
        self.ended_without_build_id() && earlier.build_id.is_some()
    }
}

/// Why a process was not inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It ended before it could be read.
    #[error("the process ended before it could be read")]
    Ended,
    /// The pid belongs to another process now.
    #[error("the pid belongs to another process")]
    Reused,
    /// Its cgroup is not the workload's.
    #[error("the process is not in the workload's cgroup")]
    OtherCgroup,
    /// The OCI runtime has not executed the workload's program yet.
    #[error("the container engine has not started the program yet")]
    NotStarted,
    /// `/proc` did not answer.
    #[error("not read in time")]
    NotInTime,
    /// Its directory in `/proc` cannot be read.
    #[error("the process cannot be read")]
    Unreadable(#[source] io::Error),
}

impl InspectError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        if is_gone(&error) { Self::Ended } else { Self::Unreadable(error) }
    }

    /// The value of the metric's label `outcome`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Reused => "reused",
            Self::OtherCgroup => "other_cgroup",
            Self::NotStarted => "not_started",
            Self::NotInTime => "not_in_time",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl From<NotRead> for InspectError {
    fn from(_: NotRead) -> Self {
        Self::NotInTime
    }
}

/// Which processes are inspected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Not that of the OCI runtime, which becomes the program of a container. It is known by its file if the container was
    /// seen before its start, and otherwise by its looks.
    Started { runtime: Option<FileId> },
    /// That too. Its looks are its own text: a program that calls itself so is not hidden by it.
    Any,
}

/// Inspects processes within the limits of [`CollectOptions`].
///
/// A file that does not answer delays an inspection by seconds and not forever: its facts are missing then, and the
/// evidence says `not read in time`.
///
/// Cheap to clone; clones share what they know about files, also about those that do not answer. Calls block: do not
/// make them on an async thread.
#[derive(Clone, Debug)]
pub struct ProcessInspector {
    pub(super) tree: ProcTree,
    pub(super) options: CollectOptions,
    pub(super) files: Arc<Files>,
    pub(super) reads: Reads,
}

impl ProcessInspector {
    /// An inspector that knows no file yet.
    #[must_use]
    pub fn new(tree: ProcTree, options: CollectOptions) -> Self {
        Self::with_reads(tree, options, Reads::default())
    }

    /// An inspector that shares its bounds with other reads.
    pub(crate) fn with_reads(tree: ProcTree, options: CollectOptions, reads: Reads) -> Self {
        Self { tree, options, files: Arc::default(), reads }
    }

    /// Inspects the process.
    ///
    /// # Errors
    /// If the process does not exist, is not the one that is meant, or became another one meanwhile.
    pub fn inspect(&self, target: &ProcessTarget) -> Result<ProcessFacts, InspectError> {
        self.inspect_at(Stage::Started { runtime: None }, target)
    }

    /// Inspects the process at this stage of its container's start.
    pub(super) fn inspect_at(
        &self,
        stage: Stage,
        target: &ProcessTarget,
    ) -> Result<ProcessFacts, InspectError> {
        let mut reader = self.reads.reader(INSPECTION_TIME_MAX);
        let (tree, pid) = (self.tree.clone(), target.pid);
        let (process, identity, path, running) =
            reader.read(Place::Process { pid, file: "stat" }, move |_| {
                let process = tree.process(pid).map_err(InspectError::from_io)?;
                let identity = Identity::read(&process)?;
                let (path, running) = (process.link("exe"), ExecutableFile::of(&process));
                Ok::<_, InspectError>((process, identity, path, running))
            })??;
        let unknown_cgroup = identity.check(target, self.tree.has_whole_cgroup_paths())?;
        let mut subject = Subject::new(process, pid, reader);
        let (arguments, mut evidence) = command_line::read(&mut subject);
        evidence.extend(unknown_cgroup);
        let looks_like_runtime =
            || oci_runtime::is_stage(&arguments, path.as_ref().map(KernelPath::as_path).ok());
        match stage {
            Stage::Started { runtime: Some(file) } if running.map(|running| running.id) == Some(file) => {
                return Err(InspectError::NotStarted);
            }
            Stage::Started { runtime: None } if looks_like_runtime() => return Err(InspectError::NotStarted),
            Stage::Any if looks_like_runtime() => {
                evidence.push(Evidence::new(Signal::Proc, "looks like the OCI runtime's own process"));
            }
            Stage::Started { .. } | Stage::Any => {}
        }
        let (executable, build_id) = self.read_executable(&mut subject);
        // A process that is ending has no program any more, a moment before its state says so.
        let had_program = running.is_some() || matches!(&path, Err(error) if is_gone(&(*error).into()));
        let is_ending = executable.is_none() && had_program;
        evidence.push(executable::path_evidence(&mut subject, &path, executable));
        match &build_id {
            Ok(id) => evidence.extend(executable::shared_id_evidence(id)),
            Err(reason) => evidence.push(Evidence::new(Signal::ElfBuildId, bounded(reason))),
        }
        let mut libraries = Vec::new();
        if self.options.loaded_libraries {
            let collector = Libraries::new(&mut subject, &self.options, &self.files);
            let program =
                executable.map(|file| Program { file: file.id, shown: path.as_ref().ok().cloned() });
            let (found, found_evidence) = collector.collect(program);
            libraries = found;
            evidence.extend(found_evidence);
        }
        let interpreter =
            path.ok().and_then(|path| Interpreter::read(&mut subject, &path, &libraries, &arguments));
        // Not even a process that let every read hang loses what was read.
        let mut subject = subject.read_by(self.reads.reader(READ_TIME_MAX));
        evidence.extend(identity.check_again(&mut subject, is_ending)?);
        Ok(ProcessFacts {
            pid: identity.stat.pid,
            start_ticks: identity.stat.start_ticks,
            arguments: command_line::cap_arguments(arguments, self.options.entrypoint_arguments_max),
            build_id: build_id.ok(),
            executable,
            entry_trace: Vec::new(),
            drift: Vec::new(),
            interpreter,
            libraries,
            evidence,
        })
    }

    fn read_executable(&self, subject: &mut Subject) -> (Option<ExecutableFile>, BuildIdAnswer) {
        let in_proc = Place::Process { pid: subject.pid(), file: "exe" };
        let found = subject.read(in_proc, |process, _| ExecutableFile::of(process));
        let executable = found.ok().flatten();
        let place = executable.map_or(in_proc, |executable| Place::FileSystem(executable.id.device));
        let files = Arc::clone(&self.files);
        let read = subject.read(place, move |process, _| executable::build_id(process, &files));
        (executable, read.unwrap_or_else(|not_read| Err(not_read.to_string())))
    }

    /// Whether the process was younger than `age` when this is called.
    pub(crate) fn is_young(facts: &ProcessFacts, age: Duration) -> bool {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let ticks = (age.as_secs_f64() * hertz).ceil() as u64;
        procfs::now_ticks() < facts.start_ticks.saturating_add(ticks)
    }
}

/// Which process the directory belongs to, and which workload the process belongs to.
struct Identity {
    stat: Stat,
    cgroups: Cgroups,
}

impl Identity {
    fn read(process: &Process) -> Result<Self, InspectError> {
        let stat = procfs::stat(process).map_err(InspectError::from_io)?;
        let cgroups = procfs::cgroups(process, &stat).map_err(InspectError::from_io)?;
        Ok(Self { stat, cgroups })
    }

    /// Returns that the cgroup could not be checked, if so.
    fn check(&self, target: &ProcessTarget, has_whole_paths: bool) -> Result<Option<Evidence>, InspectError> {
        if self.stat.is_ended() {
            return Err(InspectError::Ended);
        }
        if target.start_ticks.is_some_and(|ticks| ticks != self.stat.start_ticks) {
            return Err(InspectError::Reused);
        }
        let Some(wanted) = &target.cgroup else { return Ok(None) };
        match self.cgroups.membership(wanted, has_whole_paths) {
            Membership::Inside => Ok(None),
            Membership::Outside => Err(InspectError::OtherCgroup),
            Membership::Unknown => Ok(Some(Evidence::new(
                Signal::ProcCgroup,
                "not shown in this cgroup namespace; the pid alone says which process it is",
            ))),
        }
    }

    /// Everything was read through one directory, so it belongs to this process even if that ended
    /// meanwhile. But the process may have moved to another workload.
    fn check_again(&self, subject: &mut Subject, is_ending: bool) -> Result<Option<Evidence>, InspectError> {
        let place = Place::Process { pid: subject.pid(), file: "stat" };
        match subject.read(place, |process, _| Self::read(process))? {
            Ok(now) if now.stat.start_ticks != self.stat.start_ticks => Err(InspectError::Reused),
            Ok(now) if !now.stat.is_ended() && now.cgroups.path() != self.cgroups.path() => {
                Err(InspectError::OtherCgroup)
            }
            Ok(now) if !now.stat.is_ended() && !is_ending => Ok(None),
            // Until its parent asks for its status, `/proc` still shows it.
            Ok(_) | Err(InspectError::Ended) => {
                Ok(Some(Evidence::new(Signal::ProcStat, "ended while it was read")))
            }
            Err(error) => Err(error),
        }
    }
}
