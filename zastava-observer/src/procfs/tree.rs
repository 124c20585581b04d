//! A mounted `/proc`: which boot it shows, and its processes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::time::{ClockId, clock_gettime};
use zastava_core::clock::Timestamp;
use zastava_elf::{Process, Procfs, Root};

use super::activity::Activity;
use super::cgroup::Cgroups;
use super::stat::Stat;
use crate::Error;

/// The most that is read of one file.
const STAT_BYTES_MAX: u64 = 4 << 10;
const CGROUP_BYTES_MAX: u64 = 16 << 10;
const BOOT_ID_BYTES_MAX: u64 = 64;
const LOAD_BYTES_MAX: u64 = 256;
/// `btime` comes after a line for each processor.
const SYSTEM_STAT_BYTES_MAX: u64 = 1 << 20;

/// A mounted `/proc`: this system's, or a host's below another path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProcTree(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Or what is missing.
    procfs: Result<Procfs, String>,
    boot_id: String,
    boot_time: Timestamp,
    has_whole_cgroup_paths: bool,
}

impl ProcTree {
    /// Opens the tree and reads which boot of the system it shows.
    ///
    /// # Errors
    /// [`Error::ProcRoot`] when the path cannot be read or is no `/proc`.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = root.as_ref();
        let inner = Self::read(root).map_err(|source| Error::ProcRoot { path: root.to_owned(), source })?;
        Ok(Self(Arc::new(inner)))
    }

    /// A tree without processes, for a path where nothing is mounted. Every read fails and says so.
    pub(crate) fn missing(root: &Path) -> Self {
        let procfs = Err(format!("nothing is mounted at {}", root.display()));
        Self(Arc::new(Inner {
            procfs,
            boot_id: String::new(),
            boot_time: Timestamp::UNIX_EPOCH,
            has_whole_cgroup_paths: true,
        }))
    }

    fn procfs(&self) -> io::Result<&Procfs> {
        self.0.procfs.as_ref().map_err(|reason| io::Error::other(reason.clone()))
    }

    fn read(root: &Path) -> io::Result<Inner> {
        let procfs = Procfs::open(root)?;
        let boot_id = procfs.read("sys/kernel/random/boot_id", BOOT_ID_BYTES_MAX)?;
        let boot_id = String::from_utf8_lossy(&boot_id).trim().to_owned();
        let stat = procfs.read("stat", SYSTEM_STAT_BYTES_MAX)?;
        let boot_time = parse_boot_time(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let has_whole_cgroup_paths = sees_whole_cgroup_paths(&procfs);
        Ok(Inner { procfs: Ok(procfs), boot_id, boot_time, has_whole_cgroup_paths })
    }

    /// The kernel's random id of this boot.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.0.boot_id
    }

    /// Whether the paths of cgroups begin at the root of the system. In a cgroup namespace they begin at the
    /// namespace's root, which is the observer's own cgroup.
    pub(crate) fn has_whole_cgroup_paths(&self) -> bool {
        self.0.has_whole_cgroup_paths
    }

    /// When a process with these start ticks started.
    #[must_use]
    pub fn start_time(&self, start_ticks: u64) -> Timestamp {
        let hertz = rustix::param::clock_ticks_per_second().max(1);
        let (seconds, ticks) = (start_ticks / hertz, start_ticks % hertz);
        self.0
            .boot_time
            .saturating_add(Duration::from_secs(seconds))
            .saturating_add(Duration::from_millis(ticks * 1000 / hertz))
    }

    /// At most `max` processes in the order of their ids, and whether there are more.
    pub(crate) fn entries(&self, max: usize) -> io::Result<(Vec<ProcessEntry>, bool)> {
        let mut entries = Vec::new();
        // The procfs is held with O_PATH, and `Dir::read_from` would keep that flag.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in Dir::new(openat(self.procfs()?, ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if entries.len() == max {
                return Ok((entries, true));
            }
            entries.push(ProcessEntry { pid, inode: entry.ino() });
        }
        Ok((entries, false))
    }

    /// What changes whenever a process starts or ends.
    pub(crate) fn activity(&self) -> io::Result<Activity> {
        let stat = self.procfs()?.read("stat", SYSTEM_STAT_BYTES_MAX)?;
        let load = self.procfs()?.read("loadavg", LOAD_BYTES_MAX)?;
        Activity::parse(&stat, &load).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// This process's id in the tree's pid namespace; `None` if it is not in there.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        self.procfs().ok()?.link("self").ok()?.as_path().to_str()?.parse().ok()
    }

    /// What `look` finds below the node's root directory, as the node's first process sees it, or else as this one does.
    pub(crate) fn on_node<T>(&self, look: impl Fn(&Root) -> Result<T, zastava_elf::Error>) -> io::Result<T> {
        let look_as = |pid| Ok(look(&self.process(pid)?.root()?)?);
        look_as(1).or_else(|error| self.own_pid().map_or(Err(error), look_as))
    }

    /// Opens a process.
    pub(crate) fn process(&self, pid: u32) -> io::Result<Process> {
        Ok(self.procfs()?.process(pid)?)
    }
}

/// The directory of a process in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessEntry {
    pub(crate) pid: u32,
    /// The kernel makes a new inode for each process, and perhaps for one that it has not been asked for for long. So an equal
    /// inode means the same process, and another one means nothing.
    pub(crate) inode: u64,
}

/// Whether this process is in the first cgroup namespace, whose number is fixed (`PROC_CGROUP_INIT_INO`,
/// include/linux/proc_ns.h). Before Linux 4.6 there is no other.
fn sees_whole_cgroup_paths(procfs: &Procfs) -> bool {
    const FIRST: &str = "cgroup:[4026531835]";
    procfs.link("self/ns/cgroup").map_or(true, |namespace| namespace.as_path() == Path::new(FIRST))
}

/// `btime 1700000000`: when the system started, in Unix seconds (proc_stat(5)).
fn parse_boot_time(stat: &[u8]) -> Option<Timestamp> {
    let line = stat.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"btime "))?;
    let seconds = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    Some(Timestamp::from_unix_seconds(seconds))
}

/// How long the system has run, in clock ticks: the start ticks of a process that starts now. The clock says it rather than
/// `/proc/uptime`, which lxcfs serves from user space and which may not answer.
pub(crate) fn now_ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    let hertz = rustix::param::clock_ticks_per_second().max(1);
    seconds * hertz + nanos * hertz / 1_000_000_000
}

/// Who the process is.
pub(crate) fn stat(process: &Process) -> io::Result<Stat> {
    Stat::parse(&process.read("stat", STAT_BYTES_MAX)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The cgroups of a process whose `stat` this is. On cgroup v1 a thread that has ended is in the root.
pub(crate) fn cgroups(process: &Process, stat: &Stat) -> io::Result<Cgroups> {
    let thread = if stat.has_first_thread_ended() { process.living_thread() } else { None };
    let content = thread.as_ref().unwrap_or(process).read("cgroup", CGROUP_BYTES_MAX)?;
    Ok(Cgroups::parse(&content))
}

/// Whether the failure means that the process has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}
