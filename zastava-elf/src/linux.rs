//! Getting at the bytes on Linux: descriptors, and opening paths that somebody else controls.
//!
//! Opening is itself the side effect to avoid: it waits on a FIFO, rewinds a tape, starts a watchdog. So
//! each path is first resolved to an `O_PATH` descriptor, which opens nothing; that descriptor is asked for
//! its type; and only a regular file is then opened, through its name in `/proc/self/fd`, which leads to the
//! very file that was checked and not to whatever the path means by then.

use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::build_id::BuildId;
use crate::paths::DebugPath;
use crate::error::{Errno, Error, Place};
use crate::scan::Scanner;
use crate::source::Source;

/// How often a call that was interrupted, or a lookup that raced with a rename, is made again.
const ATTEMPTS_MAX: usize = 8;

/// The GNU build-id of the file at `path`; `None` when everything was searched and there is none.
/// Follows symbolic links, those of `/proc/<pid>/exe` included; see [`open_regular`] for what is refused.
///
/// # Errors
///
/// Every kind. The path is not in the error.
pub fn build_id(path: impl AsRef<Path>) -> Result<Option<BuildId>, Error> {
    build_id_of(open_regular(path)?)
}

/// The GNU build-id of the file behind a readable descriptor; its position is neither used nor moved.
///
/// The descriptor's type is the caller's business and is not checked. Pipes and sockets cannot be read at
/// an offset and end in [`Error::Io`].
///
/// # Errors
///
/// See [`Scanner::scan`].
pub fn build_id_of(fd: impl AsFd) -> Result<Option<BuildId>, Error> {
    Ok(Scanner::new().scan(&FdSource(fd))?.build_id)
}

/// Opens `path` for reading if it leads to a regular file that is not empty.
///
/// Needs `/proc`. The descriptor is close-on-exec and `O_NONBLOCK`, which regular files ignore when read:
/// it is there so that another process's lease on the file fails the call with `EAGAIN` and does not delay it.
///
/// # Errors
///
/// [`Error::NotRegular`] for directories, FIFOs, devices and sockets, which are not opened;
/// [`Error::NotElf`] for an empty file (as files in `/proc` seem to be, some of which block when read);
/// [`Error::Io`] when the path cannot be resolved or opened.
pub fn open_regular(path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
    reopen(again(|| open(path.as_ref(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?)
}

/// Opens `path` as a process would whose root directory is `root`, if it leads to a regular file that is not
/// empty. For files of a container: neither `..` nor a symbolic link, absolute or not, leads out of `root`,
/// and links of the `/proc/<pid>/exe` sort are refused.
///
/// Otherwise as [`open_regular`]. Keep `root` open and use it again: that saves most of the cost.
///
/// # Errors
///
/// As [`open_regular`]. Linux before 5.6 lacks `openat2`, which ends in [`Error::Io`] (`ENOSYS`): there is no
/// weaker way to fall back to.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    reopen(again(|| openat2(root.as_fd(), path.as_ref(), flags, Mode::empty(), resolve))?)
}

/// Opens the file behind an `O_PATH` descriptor for reading, after a look at its type.
fn reopen(found: OwnedFd) -> Result<OwnedFd, Error> {
    let stat = fstat(&found).map_err(cannot_open)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::NotRegular);
    }
    if stat.st_size == 0 {
        return Err(Error::NotElf);
    }
    let mut name = [0; "/proc/self/fd/".len() + 10];
    let mut rest = &mut name[..];
    write!(rest, "/proc/self/fd/{}", found.as_raw_fd()).expect("a descriptor has at most ten digits");
    let unused = rest.len();
    let name = &name[..name.len() - unused];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    again(|| open(name, flags, Mode::empty()))
}

/// `EINTR` comes from slow file systems; `EAGAIN` from `openat2` when a rename elsewhere made `..` doubtful.
fn again(mut call: impl FnMut() -> rustix::io::Result<OwnedFd>) -> Result<OwnedFd, Error> {
    let mut result = call();
    for _ in 1..ATTEMPTS_MAX {
        match result {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => result = call(),
            _ => break,
        }
    }
    result.map_err(cannot_open)
}

fn cannot_open(error: rustix::io::Errno) -> Error {
    Error::Io { place: Place::Open, error: error.into() }
}

/// Anything with a descriptor, read with `pread`.
#[derive(Debug, Clone, Copy)]
pub struct FdSource<F>(
    /// Whose descriptor is read.
    pub F,
);

impl<F: AsFd> Source for FdSource<F> {
    type Error = Errno;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        // No file reaches beyond the largest signed offset, and the kernel calls asking there a mistake.
        let room = (i64::MAX as u64).saturating_sub(offset);
        let len = usize::try_from(room).map_or(buffer.len(), |room| room.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        let mut result = rustix::io::pread(&self.0, &mut buffer[..len], offset);
        for _ in 1..ATTEMPTS_MAX {
            match result {
                Err(rustix::io::Errno::INTR) => {
                    result = rustix::io::pread(&self.0, &mut buffer[..len], offset);
                }
                _ => break,
            }
        }
        result.map_err(Errno::from)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from_raw(error.raw_os_error())
    }
}

impl From<Errno> for std::io::Error {
    fn from(error: Errno) -> Self {
        Self::from_raw_os_error(error.raw())
    }
}

impl AsRef<Path> for DebugPath {
    fn as_ref(&self) -> &Path {
        self.as_str().as_ref()
    }
}
