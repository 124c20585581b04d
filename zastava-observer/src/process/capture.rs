//! Everything that is read of one process, at once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;

use super::arguments::cap_arguments;
use super::files::{FileVersion, Files};
use super::libraries::Libraries;
use super::stat::Stat;
use super::tree::{ProcTree, ProcessDirectory};
use crate::options::CollectOptions;
use crate::runtime::evidence;

/// The longest command line that is read.
const COMMAND_LINE_BYTES_MAX: u64 = 64 << 10;
/// The longest word of an entrypoint, and the longest path, that is repeated.
const WORD_LENGTH_MAX: usize = 4096;

/// Which process is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers say which process they mean")]
pub struct ProcessTarget {
    /// Its id in the tree's pid namespace.
    pub pid: u32,
    /// When it started, if that is known: another process with the same id is refused.
    pub start_ticks: Option<u64>,
    /// What its cgroup path must contain, if that is known.
    pub cgroup: Option<String>,
}

/// What was read of a process. Whatever is missing has its reason in `evidence`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessFacts {
    /// Its id in the tree's pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Program and arguments, capped.
    pub arguments: Vec<String>,
    /// Lower-case hex of the executable's GNU build-id.
    pub build_id: Option<String>,
    /// Shared objects that are mapped as code.
    pub libraries: Vec<LoadedLibrary>,
    /// Where the facts came from, and why others are missing.
    pub evidence: Vec<Evidence>,
}

/// Why nothing can be said of a process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It ended before it could be read.
    #[error("the process ended before it could be read")]
    Ended,
    /// The id belongs to another process by now.
    #[error("the pid belongs to another process")]
    Reused,
    /// Its cgroup is not the workload's.
    #[error("the process is not in the workload's cgroup")]
    OtherCgroup,
    /// The container engine is still preparing: the workload's program does not run yet.
    #[error("the container engine has not started the program yet")]
    NotStarted,
    /// Its directory cannot be read.
    #[error("the process cannot be read")]
    Unreadable(#[source] io::Error),
}

impl CaptureError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        if is_ended(&error) { Self::Ended } else { Self::Unreadable(error) }
    }

    /// A word for the metric's label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Reused => "reused",
            Self::OtherCgroup => "other_cgroup",
            Self::NotStarted => "not_started",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// Reads processes within the limits of [`CollectOptions`]. Cheap to clone; clones share what they
/// know of files. Blocks: keep it off a thread that must go on.
#[derive(Clone, Debug)]
pub struct ProcessReader {
    tree: ProcTree,
    options: CollectOptions,
    files: Arc<Files>,
}

impl ProcessReader {
    /// A reader that knows no file yet.
    #[must_use]
    pub fn new(tree: ProcTree, options: CollectOptions) -> Self {
        Self { tree, options, files: Arc::default() }
    }

    /// Whether the process had just started when it was read.
    pub(crate) fn is_young(&self, facts: &ProcessFacts, age: Duration) -> bool {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let ticks = (age.as_secs_f64() * hertz).ceil() as u64;
        self.tree.now_ticks().is_ok_and(|now| now < facts.start_ticks.saturating_add(ticks))
    }

    /// Reads the process.
    ///
    /// # Errors
    /// When it is not there, is not the one that is meant, or did not stay the same while it was read.
    pub fn capture(&self, target: &ProcessTarget) -> Result<ProcessFacts, CaptureError> {
        let process = self.tree.process(target.pid).map_err(CaptureError::from_io)?;
        let stat = process.stat().map_err(CaptureError::from_io)?;
        if stat.is_ended() {
            return Err(CaptureError::Ended);
        }
        if target.start_ticks.is_some_and(|ticks| ticks != stat.start_ticks) {
            return Err(CaptureError::Reused);
        }
        let cgroup = process.cgroup().map_err(CaptureError::from_io)?;
        if let Some(wanted) = &target.cgroup
            && !cgroup.as_ref().is_some_and(|path| path.contains(wanted))
        {
            return Err(CaptureError::OtherCgroup);
        }
        let mut capture = Capture { reader: self, process: &process, evidence: Vec::new() };
        let facts = capture.facts(&stat)?;
        capture.check_same(&stat, cgroup.as_deref())?;
        Ok(ProcessFacts { evidence: capture.evidence, ..facts })
    }
}

/// One capture in progress.
struct Capture<'a> {
    reader: &'a ProcessReader,
    process: &'a ProcessDirectory,
    evidence: Vec<Evidence>,
}

impl Capture<'_> {
    fn facts(&mut self, stat: &Stat) -> Result<ProcessFacts, CaptureError> {
        let link = self.process.link("exe");
        let arguments = self.arguments();
        if is_engine_stage(&arguments, link.as_deref().ok()) {
            return Err(CaptureError::NotStarted);
        }
        let (executable, build_id) = self.executable(link);
        let (options, files) = (&self.reader.options, &*self.reader.files);
        let mut libraries = Libraries { process: self.process, options, files, evidence: &mut self.evidence };
        let libraries = if options.loaded_libraries { libraries.read(executable) } else { Vec::new() };
        Ok(ProcessFacts {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            arguments: cap_arguments(arguments, self.reader.options.entrypoint_arguments_max),
            build_id,
            libraries,
            evidence: Vec::new(),
        })
    }

    /// The whole command line, as far as it is read.
    fn arguments(&mut self) -> Vec<String> {
        match self.process.read("cmdline", COMMAND_LINE_BYTES_MAX) {
            Ok(content) => {
                let content = content.strip_suffix(b"\0").unwrap_or(&content);
                if content.is_empty() {
                    return Vec::new();
                }
                content
                    .split(|byte| *byte == 0)
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect()
            }
            Err(error) => {
                self.tell(Signal::ProcCmdline, reason(&error));
                Vec::new()
            }
        }
    }

    /// The executable's version and build-id, through the descriptor that also deleted files have.
    fn executable(&mut self, link: io::Result<PathBuf>) -> (Option<FileVersion>, Option<String>) {
        match link {
            Ok(path) => {
                let text = bounded(&path.to_string_lossy());
                match text.strip_suffix(" (deleted)") {
                    Some(path) => self.tell(Signal::ProcExeDeleted, path.to_owned()),
                    None => self.tell(Signal::ProcExe, text),
                }
            }
            Err(error) => self.tell(Signal::ProcExe, reason(&error)),
        }
        let opened = self.process.executable().and_then(|file| Ok((FileVersion::of(&file)?, file)));
        let (version, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.tell(Signal::ElfBuildId, reason(&error));
                return (None, None);
            }
        };
        match self.reader.files.build_id(version, file) {
            Ok(id) => (Some(version), Some(id)),
            Err(reason) => {
                self.tell(Signal::ElfBuildId, bounded(&reason));
                (Some(version), None)
            }
        }
    }

    /// What was read through the descriptor is this process's even when it ended meanwhile; but it
    /// must not have moved to another workload.
    fn check_same(&mut self, stat: &Stat, cgroup: Option<&str>) -> Result<(), CaptureError> {
        let now = self.process.stat().and_then(|now| Ok((now, self.process.cgroup()?)));
        match now {
            Ok((now, _)) if now.start_ticks != stat.start_ticks => Err(CaptureError::Reused),
            Ok((now, path)) if !now.is_ended() && path.as_deref() != cgroup => Err(CaptureError::OtherCgroup),
            Ok(_) => Ok(()),
            Err(error) if is_ended(&error) => {
                self.tell(Signal::ProcStat, "ended while it was read".to_owned());
                Ok(())
            }
            Err(error) => Err(CaptureError::Unreadable(error)),
        }
    }

    fn tell(&mut self, signal: Signal, value: String) {
        self.evidence.push(evidence(signal, value));
    }
}

/// `runc init`, which becomes the workload's program by `exec`. runc may run from a copy of itself in a
/// memfd, and shows no path at all after it changed roots.
fn is_engine_stage(arguments: &[String], executable: Option<&Path>) -> bool {
    let [program, stage, ..] = arguments else { return false };
    let named = Path::new(program).file_name().is_some_and(|name| name == "runc") && stage == "init";
    let path = executable.map(Path::to_string_lossy);
    named && path.is_none_or(|path| path == "/" || path.contains("runc"))
}

/// Foreign text, cut at a named length.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(WORD_LENGTH_MAX).collect()
}

pub(super) fn is_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The failure in words that do not change with the platform's library.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if is_ended(error) => "the process has ended".to_owned(),
        _ => bounded(&error.to_string()),
    }
}
