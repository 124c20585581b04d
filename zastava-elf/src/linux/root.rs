//! Lookups that do not leave a directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::error::Error;
use crate::linux::calls::{DIRECTORY, io_error, open_at, retry};
use crate::linux::open::{RegularFile, reopen};
use crate::part::Part;

/// A directory, held open as the root of lookups: of a container, of a debug store.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Holds the directory at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], also if it is not a directory (`ENOTDIR`).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        open_at(CWD, path, DIRECTORY, Part::File).map(Self)
    }

    pub(super) fn of(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Holds a directory below the root. No link leads out of it.
    ///
    /// # Errors
    ///
    /// As [`open_in_root`], also if it is not a directory (`ENOTDIR`).
    pub fn directory(&self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let (flags, resolve) = (DIRECTORY, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
        let opened = retry(|| openat2(&self.0, path.as_ref(), flags, Mode::empty(), resolve));
        opened.map(Self).map_err(io_error(Part::File))
    }

    /// Opens a file below the root; see [`open_in_root`].
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

/// Opens `path` as a process would whose root directory is `root`, if it leads to a regular file that is not
/// empty. For files of a container: neither `..` nor a symbolic link, absolute or not, leads out of `root`, and
/// links such as `/proc/<pid>/exe` are refused.
///
/// [`Root`] keeps the directory open between lookups, which saves most of the cost.
///
/// # Errors
///
/// As [`open_regular`](crate::open_regular). Linux before 5.6 has no `openat2`: [`Error::Io`] (`ENOSYS`). There
/// is no weaker fallback.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<RegularFile, Error> {
    reopen(find_in_root(root, path.as_ref())?)
}

/// What is at `path` in `root`, without opening it.
pub(super) fn find_in_root(root: impl AsFd, path: &Path) -> Result<OwnedFd, Error> {
    find(root, path, ResolveFlags::NO_MAGICLINKS)
}

/// As [`find_in_root`], of a path without links.
pub(super) fn find_without_links(root: impl AsFd, path: &Path) -> Result<OwnedFd, Error> {
    find(root, path, ResolveFlags::NO_SYMLINKS)
}

fn find(root: impl AsFd, path: &Path, links: ResolveFlags) -> Result<OwnedFd, Error> {
    let resolve = ResolveFlags::IN_ROOT | links;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    retry(|| openat2(root.as_fd(), path, flags, Mode::empty(), resolve)).map_err(io_error(Part::File))
}
