//! A running process: its program, its mapped files, the files in its root.

use std::format;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::vec::Vec;

use rustix::fs::{Mode, OFlags, open, openat};

#[cfg(feature = "procmap-query")]
use crate::build_id::BuildId;
use crate::error::{Errno, Error, Place};
use crate::limits::Limit;
use crate::linux::maps::{self, Mapping};
use crate::linux::open::{DIRECTORY, OpenElf, Root, again, reopen};

/// The most that is read of a process's map: room for the kernel's 65,530 mappings.
const MAPS_BYTES_MAX: u64 = 32 << 20;

/// A process, held by a descriptor of its `/proc/<pid>`: all answers are of that process. When it has ended
/// they fail (`ESRCH` or `ENOENT`), also if the pid was given to another one.
///
/// ```
/// use zastava_elf::{Process, Scanner};
///
/// let process = Process::current()?;
/// let identity = Scanner::new().scan(&process.exe()?)?;
/// assert!(identity.header.is_some());
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// Reading another user's process takes `CAP_SYS_PTRACE`; [`mapping`](Self::mapping) takes
/// `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN` as well.
#[derive(Debug)]
pub struct Process {
    directory: OwnedFd,
}

impl Process {
    /// Holds the process that has this pid in the pid namespace of the mounted `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if there is none.
    pub fn open(pid: u32) -> Result<Self, Error> {
        Self::at(format!("/proc/{pid}"))
    }

    /// This process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] without a `/proc`.
    pub fn current() -> Result<Self, Error> {
        Self::at("/proc/self")
    }

    /// Holds the process whose directory is `path`, for a `/proc` mounted elsewhere, such as `/host/proc/1`.
    /// The path is trusted to be in a procfs.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn at(path: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = again(|| open(path.as_ref(), DIRECTORY, Mode::empty()))?;
        Ok(Self { directory })
    }

    /// The file the process runs, also when it was deleted or its path leads to another file by now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` for kernel threads.
    pub fn exe(&self) -> Result<OpenElf, Error> {
        reopen(self.lookup("exe", OFlags::PATH)?)
    }

    /// The file mapped at exactly these addresses, deleted or replaced or not. Not every file system lets its
    /// mapped files be opened, and one in user space (FUSE) can make this wait.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if no file is mapped at just these addresses, `EPERM` without the capability.
    /// [`Error::NotRegular`] for mapped devices.
    pub fn mapping(&self, addresses: Range<u64>) -> Result<OpenElf, Error> {
        let name = format!("map_files/{:x}-{:x}", addresses.start, addresses.end);
        reopen(self.lookup(&name, OFlags::PATH)?)
    }

    /// What the kernel says is the GNU build-id of the file mapped at `address` (`PROCMAP_QUERY`, Linux 6.11):
    /// a hint, in one call, without opening the file and without the capability that
    /// [`mapping`](Self::mapping) takes. `None` says nothing: the kernel does not see ids that stand only in
    /// sections, are longer than 20 bytes or of the other byte order, and older kernels see none at all. Ask
    /// the file then.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if nothing is mapped there.
    #[cfg(feature = "procmap-query")]
    pub fn kernel_build_id(&self, address: u64) -> Result<Option<BuildId>, Error> {
        use std::os::fd::AsFd as _;
        super::procmap::build_id(self.lookup("maps", OFlags::RDONLY)?.as_fd(), address)
    }

    /// The root directory of the process, for lookups of its paths; hold it for more than one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn root(&self) -> Result<Root, Error> {
        Ok(Root::of(self.lookup("root", DIRECTORY)?))
    }

    /// The files mapped into the process, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Limit`] for more than 32 MiB of map; [`Error::Malformed`] if the kernel's words
    /// are not understood.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Error> {
        let mut text = Vec::new();
        let file = File::from(self.lookup("maps", OFlags::RDONLY)?);
        let read = file.take(MAPS_BYTES_MAX + 1).read_to_end(&mut text);
        let place = Place::Maps;
        read.map_err(|error| Error::Io { place, error: Errno::from_raw(error.raw_os_error().unwrap_or(0)) })?;
        if text.len() as u64 > MAPS_BYTES_MAX {
            return Err(Error::Limit { limit: Limit::MapsBytes, place });
        }
        maps::parse(&text).ok_or(Error::Malformed { place })
    }

    fn lookup(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        again(|| openat(&self.directory, name, flags | OFlags::CLOEXEC, Mode::empty()))
    }
}
