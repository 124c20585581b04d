//! Opening files by path.
//!
//! Opening is itself the side effect to avoid: it waits on a FIFO, rewinds a tape, starts a watchdog. So
//! each path is first resolved to an `O_PATH` descriptor, which opens nothing; that descriptor is asked for
//! its type; and only a regular file is then opened, through its name in `/proc/self/fd`, which leads to the
//! very file that was checked and not to whatever the path means by then.

use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::error::{Errno, Error, Place};
use crate::linux::version::FileVersion;
use crate::linux::{ATTEMPTS_MAX, FdSource};
use crate::source::Source;

/// A regular file open for reading, and which version of which file it was when it was opened. Is a
/// [`Source`]: hand it to a [`Scanner`](crate::Scanner).
///
/// The descriptor is close-on-exec and `O_NONBLOCK`, which regular files ignore when read: it is there so
/// that another process's lease on the file fails the opening with `EAGAIN` and does not delay it.
#[derive(Debug)]
pub struct RegularFile {
    fd: OwnedFd,
    version: FileVersion,
}

impl RegularFile {
    /// Which file it is: the key for a cache of answers.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        self.version
    }
}

impl AsFd for RegularFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<RegularFile> for OwnedFd {
    fn from(open: RegularFile) -> Self {
        open.fd
    }
}

impl Source for RegularFile {
    type Error = Errno;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        FdSource(&self.fd).read_at(offset, buffer)
    }
}

/// Opens `path` for reading if it leads to a regular file that is not empty. Needs `/proc`.
///
/// # Errors
///
/// [`Error::NotRegular`] for directories, FIFOs, devices and sockets, which are not opened;
/// [`Error::NotElf`] for an empty file (as files in `/proc` seem to be, some of which block when read);
/// [`Error::Io`] when the path cannot be resolved or opened.
pub fn open_regular(path: impl AsRef<Path>) -> Result<RegularFile, Error> {
    reopen(again(|| open(path.as_ref(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?)
}

/// Opens `path` as a process would whose root directory is `root`, if it leads to a regular file that is not
/// empty. For files of a container: neither `..` nor a symbolic link, absolute or not, leads out of `root`,
/// and links of the `/proc/<pid>/exe` sort are refused.
///
/// Otherwise as [`open_regular`]. Keep `root` open and use it again, as [`Root`] does: that saves most of the
/// cost.
///
/// # Errors
///
/// As [`open_regular`]. Linux before 5.6 lacks `openat2`, which ends in [`Error::Io`] (`ENOSYS`): there is no
/// weaker way to fall back to.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<RegularFile, Error> {
    reopen(find_in_root(root, path.as_ref())?)
}

/// Opens `path` for reading at once, whatever it is: one system call where [`open_regular`] needs four.
///
/// Only for directories that nobody but trusted users can write, such as `/usr`. Elsewhere opening may reset a
/// device, take a byte from a pipe's reader, or follow a link that was exchanged a moment ago. It does not wait
/// for a FIFO's writer (`O_NONBLOCK`) and does not take over a terminal (`O_NOCTTY`).
///
/// # Errors
///
/// [`Error::Io`]
pub fn open_trusted(path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
    again(|| open(path.as_ref(), READ, Mode::empty()))
}

/// A directory held open as the root of lookups: of a container, of a debug store.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Holds the directory at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], for something that is not a directory too (`ENOTDIR`).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        again(|| open(path.as_ref(), DIRECTORY, Mode::empty())).map(Self)
    }

    pub(super) fn of(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens a file below it; see [`open_in_root`].
    ///
    /// # Errors
    ///
    /// See [`open_in_root`].
    pub fn open_regular(&self, path: impl AsRef<Path>) -> Result<RegularFile, Error> {
        open_in_root(&self.0, path)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// How directories are held: for lookups below them only.
pub(super) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What lies at `path` in `root`, without opening it.
pub(super) fn find_in_root(root: impl AsFd, path: &Path) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    again(|| openat2(root.as_fd(), path, flags, Mode::empty(), resolve))
}

/// Opens the file behind an `O_PATH` descriptor for reading, after a look at its type.
pub(super) fn reopen(found: OwnedFd) -> Result<RegularFile, Error> {
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
    let fd = again(|| open(name, READ, Mode::empty()))?;
    Ok(RegularFile { fd, version: FileVersion::from_stat(&stat) })
}

fn again(call: impl FnMut() -> rustix::io::Result<OwnedFd>) -> Result<OwnedFd, Error> {
    retry(call).map_err(cannot_open)
}

/// `EINTR` comes from slow file systems; `EAGAIN` from `openat2` when a rename elsewhere made `..` doubtful.
pub(super) fn retry(mut call: impl FnMut() -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    let mut result = call();
    for _ in 1..ATTEMPTS_MAX {
        match result {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => result = call(),
            _ => break,
        }
    }
    result
}

pub(super) fn cannot_open(error: rustix::io::Errno) -> Error {
    Error::Io { place: Place::Open, error: error.into() }
}
