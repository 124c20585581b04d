//! A mounted `/proc`, and the directories of its processes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};
use zastava_core::clock::Timestamp;

use super::stat::Stat;
use crate::Error;

/// Bounds of what is read of one file.
const STAT_BYTES_MAX: u64 = 4 << 10;
const CGROUP_BYTES_MAX: u64 = 16 << 10;
/// `btime` stands after a line for each processor.
const SYSTEM_STAT_BYTES_MAX: u64 = 1 << 20;

/// A mounted `/proc`: this system's, or a host's below another path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProcTree(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is missing, where there is no `/proc`.
    directory: Result<OwnedFd, String>,
    boot_id: String,
    boot_time: Timestamp,
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

    /// A tree in which there is no process, since nothing is mounted at the path: every look says so.
    pub(crate) fn missing(root: &Path) -> Self {
        let directory = Err(format!("nothing is mounted at {}", root.display()));
        Self(Arc::new(Inner { directory, boot_id: String::new(), boot_time: Timestamp::UNIX_EPOCH }))
    }

    fn directory(&self) -> io::Result<&OwnedFd> {
        self.0.directory.as_ref().map_err(|reason| io::Error::other(reason.clone()))
    }

    fn read(root: &Path) -> io::Result<Inner> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root, flags, Mode::empty())?;
        let boot_id = read_at(&directory, "sys/kernel/random/boot_id", 64)?;
        let boot_id = String::from_utf8_lossy(&boot_id).trim().to_owned();
        let stat = read_at(&directory, "stat", SYSTEM_STAT_BYTES_MAX)?;
        let boot_time = parse_boot_time(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Inner { directory: Ok(directory), boot_id, boot_time })
    }

    /// The kernel's random name for this boot.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.0.boot_id
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

    /// How long the system has run, in clock ticks: the start ticks of a process that starts now.
    pub(crate) fn now_ticks(&self) -> io::Result<u64> {
        let content = read_at(self.directory()?, "uptime", 64)?;
        parse_uptime(&content).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The processes' ids, at most `max`, and whether there were more.
    pub(crate) fn pids(&self, max: usize) -> io::Result<(Vec<u32>, bool)> {
        let mut pids = Vec::new();
        for entry in Dir::read_from(self.directory()?)? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pids.len() == max {
                return Ok((pids, true));
            }
            pids.push(pid);
        }
        Ok((pids, false))
    }

    /// This process's id in the tree's pid namespace; `None` when it is not there.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        readlinkat(self.directory().ok()?, "self", Vec::new()).ok()?.to_str().ok()?.parse().ok()
    }

    /// Opens the directory of a process.
    pub(crate) fn process(&self, pid: u32) -> io::Result<ProcessDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(self.directory()?, pid.to_string(), flags, Mode::empty())?;
        Ok(ProcessDirectory(directory))
    }
}

/// `btime 1700000000`: when the system started, in Unix seconds (proc_stat(5)).
fn parse_boot_time(stat: &[u8]) -> Option<Timestamp> {
    let line = stat.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"btime "))?;
    let seconds = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    Some(Timestamp::from_unix_seconds(seconds))
}

/// `350735.47 234388.90`: seconds, in hundredths (proc_uptime(5)), which are clock ticks on every
/// architecture but one that is gone.
fn parse_uptime(content: &[u8]) -> Option<u64> {
    let (seconds, hundredths) = std::str::from_utf8(content).ok()?.split(' ').next()?.split_once('.')?;
    seconds.parse::<u64>().ok()?.checked_mul(100)?.checked_add(hundredths.trim().parse().ok()?)
}

/// One process, whatever becomes of its pid.
#[derive(Debug)]
pub(crate) struct ProcessDirectory(OwnedFd);

impl ProcessDirectory {
    /// Who the process is.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Stat::parse(&self.read("stat", STAT_BYTES_MAX)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The process's most telling cgroup path; `None` for the root everywhere.
    pub(crate) fn cgroup(&self) -> io::Result<Option<String>> {
        Ok(super::cgroup::cgroup_path(&self.read("cgroup", CGROUP_BYTES_MAX)?))
    }

    /// The first `max` bytes of a file.
    pub(crate) fn read(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        read_at(&self.0, name, max)
    }

    /// What a link says, such as `exe`.
    pub(crate) fn link(&self, name: &str) -> io::Result<PathBuf> {
        let target = readlinkat(&self.0, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// The file behind `exe`, deleted or not.
    pub(crate) fn executable(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.0, "exe", OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?)
    }

    /// The directory that the process sees as `/`.
    pub(crate) fn root(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.0, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// Whether the failure means that the process has ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn read_at(directory: impl AsFd, name: &str, max: u64) -> io::Result<Vec<u8>> {
    let file = File::from(openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut content = Vec::new();
    file.take(max).read_to_end(&mut content)?;
    Ok(content)
}
