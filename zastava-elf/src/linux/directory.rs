//! A directory of procfs, held open: bounded reads, links and lookups below it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::vec::Vec;

use rustix::fs::{CWD, OFlags, readlinkat};

use crate::errno::Errno;
use crate::error::Error;
use crate::linux::calls::{DIRECTORY, io_error, open_at};
use crate::linux::kernel_path::KernelPath;
use crate::part::Part;

#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    /// What errors name.
    part: Part,
}

impl Directory {
    pub(super) fn open(path: &Path, part: Part) -> Result<Self, Error> {
        Ok(Self { fd: open_at(CWD, path, DIRECTORY, part)?, part })
    }

    /// A directory below this one, whose errors name `part`.
    pub(super) fn directory(&self, name: &Path, part: Part) -> Result<Self, Error> {
        Ok(Self { fd: self.lookup(name, DIRECTORY, part)?, part })
    }

    pub(super) fn lookup(&self, name: &Path, flags: OFlags, part: Part) -> Result<OwnedFd, Error> {
        open_at(&self.fd, name, flags, part)
    }

    pub(super) fn read(&self, name: &Path, max: u64) -> Result<Vec<u8>, Error> {
        self.read_as(name, max, self.part)
    }

    pub(super) fn read_as(&self, name: &Path, max: u64, part: Part) -> Result<Vec<u8>, Error> {
        let file = File::from(self.lookup(name, OFlags::RDONLY, part)?);
        let mut content = Vec::new();
        match file.take(max).read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => {
                Err(Error::Io { part, error: Errno::from_raw(error.raw_os_error().unwrap_or_default()) })
            }
        }
    }

    pub(super) fn link(&self, name: &Path) -> Result<KernelPath, Error> {
        let target = readlinkat(&self.fd, name, Vec::new()).map_err(io_error(self.part))?;
        Ok(KernelPath::new(PathBuf::from(OsStr::from_bytes(target.as_bytes()))))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
