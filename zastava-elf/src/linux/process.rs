//! A running process: its files in `/proc`, its program, its mapped files, the files in its root.

use std::format;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::vec::Vec;

use rustix::fs::OFlags;
use rustix::io::Errno as RawErrno;

#[cfg(feature = "procmap-query")]
use crate::build_id::BuildId;
use crate::error::Error;
use crate::limits::Limit;
use crate::linux::calls::DIRECTORY;
use crate::linux::directory::Directory;
use crate::linux::files::ProcessFiles;
use crate::linux::kernel_path::KernelPath;
use crate::linux::maps::Mapping;
use crate::linux::open::{RegularFile, reopen};
use crate::linux::root::Root;
use crate::linux::threads;
use crate::part::Part;

/// The most that is read of a process's `maps`: room for the kernel's default bound of 65,530 mappings.
const MAPS_BYTES_MAX: u64 = 32 << 20;

/// A process, held by a descriptor of its directory in `/proc`: every answer is about that process. Once it has
/// ended, calls fail with `ESRCH` or `ENOENT`, even if another process has got its pid.
///
/// ```
/// use zastava_elf::{ElfReader, Process};
///
/// let process = Process::current()?;
/// let identity = ElfReader::new().identity(&process.executable()?)?;
/// assert!(identity.header.is_some());
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// A process lives as long as any of its threads. If its first one has ended, its directory is empty, and what is not
/// found there is asked of a thread that runs.
///
/// Reading another user's process takes `CAP_SYS_PTRACE`; [`open_mapping`](Self::open_mapping) takes
/// `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN` as well. Clones share the descriptor.
// docs/design/elf.md#what-if-the-first-thread-has-ended
#[derive(Debug, Clone)]
pub struct Process(Arc<Directory>);

impl Process {
    /// Holds the process that has this pid in the pid namespace of `/proc`. For a procfs that is mounted
    /// elsewhere, see [`Procfs::process`](crate::Procfs::process).
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if there is none.
    pub fn open(pid: u32) -> Result<Self, Error> {
        Directory::open(format!("/proc/{pid}").as_ref(), Part::Process).map(Self::of)
    }

    /// Holds this process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] without a `/proc`.
    pub fn current() -> Result<Self, Error> {
        Directory::open("/proc/self".as_ref(), Part::Process).map(Self::of)
    }

    pub(super) fn of(directory: Directory) -> Self {
        Self(Arc::new(directory))
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0
    }

    /// A thread that runs, if the first one has ended. It is read like a process: its `cgroup`, which of a thread that
    /// has ended is `/` on cgroup v1, is right.
    #[must_use]
    pub fn living_thread(&self) -> Option<Self> {
        threads::living(&self.0).map(Self::of)
    }

    /// Asks a thread that runs if the first one has ended and the answer is nothing.
    fn ask<T>(
        &self,
        question: impl Fn(&Directory) -> Result<T, Error>,
        is_nothing: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        const NOTHING: [RawErrno; 2] = [RawErrno::NOENT, RawErrno::SRCH];
        let answer = question(&self.0);
        let is_missing = match &answer {
            Ok(found) => is_nothing(found),
            Err(Error::Io { error, .. }) => NOTHING.iter().any(|errno| errno.raw_os_error() == error.raw()),
            Err(_) => false,
        };
        match is_missing.then(|| threads::living(&self.0)).flatten() {
            Some(thread) => question(&thread),
            None => answer,
        }
    }

    fn lookup(&self, name: &Path, flags: OFlags, part: Part) -> Result<OwnedFd, Error> {
        self.ask(|directory| directory.lookup(name, flags, part), |_| false)
    }

    /// The first `max` bytes of a file in the process's directory, such as `stat`, `cgroup` or `task/1/maps`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn read(&self, name: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, Error> {
        self.ask(|directory| directory.read(name.as_ref(), max), Vec::is_empty)
    }

    /// What a link in the process's directory says, such as `exe` or `ns/mnt`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn link(&self, name: impl AsRef<Path>) -> Result<KernelPath, Error> {
        self.ask(|directory| directory.link(name.as_ref()), |_| false)
    }

    /// Opens the file that the process runs, even if it was deleted or its path now leads to another file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` for kernel threads.
    pub fn executable(&self) -> Result<RegularFile, Error> {
        reopen(self.lookup("exe".as_ref(), OFlags::PATH, Part::File)?)
    }

    /// Holds the root directory of the process, for lookups of paths as the process sees them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn root(&self) -> Result<Root, Error> {
        self.lookup("root".as_ref(), DIRECTORY, Part::Process).map(Root::of)
    }

    /// Holds what it takes to open the files that the process has mapped.
    ///
    /// # Errors
    ///
    /// As [`root`](Self::root).
    pub fn files(&self) -> Result<ProcessFiles, Error> {
        ProcessFiles::of(self)
    }

    /// The mappings of the process, in the order of addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Limit`] for more than 32 MiB of text; [`Error::Malformed`] if a line is not what
    /// the kernel writes.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Error> {
        let part = Part::Maps;
        let read = |directory: &Directory| directory.read_as("maps".as_ref(), MAPS_BYTES_MAX + 1, part);
        let text = self.ask(read, Vec::is_empty)?;
        if text.len() as u64 > MAPS_BYTES_MAX {
            return Err(Error::Limit { limit: Limit::MapsBytes, part });
        }
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(Mapping::parse).collect::<Option<_>>().ok_or(Error::Malformed { part })
    }

    /// Opens the file that is mapped at exactly these addresses, even if it was deleted or replaced. Some file
    /// systems do not let their mapped files be opened, and one in user space (FUSE) can make this wait.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if no file is mapped at exactly these addresses, `EPERM` without the capability.
    /// [`Error::NotRegular`] for mapped devices.
    pub fn open_mapping(&self, addresses: Range<u64>) -> Result<RegularFile, Error> {
        let name = format!("map_files/{:x}-{:x}", addresses.start, addresses.end);
        reopen(self.lookup(name.as_ref(), OFlags::PATH, Part::File)?)
    }

    /// What the kernel says is the GNU build-id of the file mapped at `address` (`PROCMAP_QUERY`, Linux 6.11):
    /// a hint, in one call, without opening the file and without the capability that
    /// [`open_mapping`](Self::open_mapping) takes.
    ///
    /// `None` means that the kernel does not say; read the file then. The kernel does not see ids that are only
    /// in sections, are longer than 20 bytes or are in the other byte order. Older kernels see none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if nothing is mapped there.
    #[cfg(feature = "procmap-query")]
    pub fn kernel_build_id(&self, address: u64) -> Result<Option<BuildId>, Error> {
        let query = |directory: &Directory| {
            let maps = directory.lookup("maps".as_ref(), OFlags::RDONLY, Part::Maps)?;
            super::procmap::build_id(maps.as_fd(), address)
        };
        self.ask(query, |_| false)
    }
}

/// The directory, opened with `O_PATH`: for lookups below it.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
