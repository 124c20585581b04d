//! A mounted `/proc`.

use std::format;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::vec::Vec;

use crate::error::Error;
use crate::linux::directory::Directory;
use crate::linux::kernel_path::KernelPath;
use crate::linux::process::Process;
use crate::part::Part;

/// A mounted `/proc`, held open: this system's, or a host's at another path.
///
/// ```
/// use zastava_elf::Procfs;
///
/// let procfs = Procfs::open("/proc")?;
/// let process = procfs.process(std::process::id())?;
/// let command_line = process.read("cmdline", 4096)?;
/// assert!(!command_line.is_empty());
/// # Ok::<(), zastava_elf::Error>(())
/// ```
#[derive(Debug)]
pub struct Procfs(Directory);

impl Procfs {
    /// Holds the directory at `path`, such as `/proc` or `/host/proc`. The path is trusted to be a procfs.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Directory::open(path.as_ref(), Part::Procfs).map(Self)
    }

    /// Holds the process that has this pid in the pid namespace of the mounted `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: `ENOENT` if there is none.
    pub fn process(&self, pid: u32) -> Result<Process, Error> {
        let directory = self.0.directory(format!("{pid}").as_ref(), Part::Process)?;
        Ok(Process::of(directory))
    }

    /// The first `max` bytes of a file, such as `uptime` or `sys/kernel/random/boot_id`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn read(&self, name: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, Error> {
        self.0.read(name.as_ref(), max)
    }

    /// What a link says, such as `self`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn link(&self, name: impl AsRef<Path>) -> Result<KernelPath, Error> {
        self.0.link(name.as_ref())
    }
}

/// The directory, opened with `O_PATH`: for lookups below it.
impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
