//! System calls that are tried again, and their errors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno as RawErrno;

use crate::errno::Errno;
use crate::error::Error;
use crate::part::Part;

/// How often a call is tried that was interrupted or raced with a rename.
const ATTEMPTS_MAX: usize = 8;

/// Files are opened so that neither a FIFO's peer nor a lease is waited for, and no terminal is taken over.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// Directories are held for lookups below them only.
pub(super) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// Opens `name` in a directory, close-on-exec.
pub(super) fn open_at(
    directory: impl AsFd,
    name: impl AsRef<Path>,
    flags: OFlags,
    part: Part,
) -> Result<OwnedFd, Error> {
    let (directory, name): (BorrowedFd<'_>, _) = (directory.as_fd(), name.as_ref());
    retry(|| openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty())).map_err(io_error(part))
}

/// `EINTR` comes from slow file systems, `EAGAIN` from `openat2` if a rename elsewhere made `..` doubtful.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let mut result = call();
    for _ in 1..ATTEMPTS_MAX {
        match result {
            Err(RawErrno::INTR | RawErrno::AGAIN) => result = call(),
            _ => break,
        }
    }
    result
}

pub(super) fn io_error(part: Part) -> impl Fn(RawErrno) -> Error {
    move |error| Error::Io { part, error: Errno::from_raw(error.raw_os_error()) }
}

impl From<Errno> for std::io::Error {
    fn from(error: Errno) -> Self {
        Self::from_raw_os_error(error.raw())
    }
}

/// An [`Error::Io`] becomes the error of the operating system; other kinds become `InvalidData`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { error, .. } => error.into(),
            error => Self::new(std::io::ErrorKind::InvalidData, error),
        }
    }
}
