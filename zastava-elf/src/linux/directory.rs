//! A directory of procfs, held open: bounded reads, links and lookups below it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::vec::Vec;

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};

use crate::error::{Errno, Error, Place};
use crate::linux::kernel_path::KernelPath;
use crate::linux::open::{DIRECTORY, retry};

#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    /// What errors name.
    place: Place,
}

impl Directory {
    pub(super) fn open(path: &Path, place: Place) -> Result<Self, Error> {
        Ok(Self { fd: lookup(CWD, path, DIRECTORY, place)?, place })
    }

    /// A directory below this one, whose errors name `place`.
    pub(super) fn directory(&self, name: &Path, place: Place) -> Result<Self, Error> {
        Ok(Self { fd: self.lookup(name, DIRECTORY, place)?, place })
    }

    pub(super) fn lookup(&self, name: &Path, flags: OFlags, place: Place) -> Result<OwnedFd, Error> {
        lookup(self.fd.as_fd(), name, flags, place)
    }

    pub(super) fn read(&self, name: &Path, max: u64) -> Result<Vec<u8>, Error> {
        self.read_as(name, max, self.place)
    }

    pub(super) fn read_as(&self, name: &Path, max: u64, place: Place) -> Result<Vec<u8>, Error> {
        let file = File::from(self.lookup(name, OFlags::RDONLY, place)?);
        let mut content = Vec::new();
        match file.take(max).read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => {
                Err(Error::Io { place, error: Errno::from_raw(error.raw_os_error().unwrap_or_default()) })
            }
        }
    }

    pub(super) fn link(&self, name: &Path) -> Result<KernelPath, Error> {
        match readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(KernelPath::new(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
            Err(error) => Err(Error::Io { place: self.place, error: error.into() }),
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn lookup(directory: BorrowedFd<'_>, name: &Path, flags: OFlags, place: Place) -> Result<OwnedFd, Error> {
    retry(|| openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty()))
        .map_err(|error| Error::Io { place, error: error.into() })
}
