//! Getting at the bytes on Linux: descriptors, paths that somebody else controls, processes, debug stores.

mod directory;
mod kernel_path;
mod maps;
mod open;
mod process;
mod procfs;
#[cfg(feature = "procmap-query")]
mod procmap;
mod store;
mod version;

use std::os::fd::AsFd;
use std::path::Path;

use crate::build_id::BuildId;
use crate::error::{Errno, Error};
use crate::paths::DebugPath;
use crate::scan::FOR_BUILD_ID;
use crate::search::Search;
use crate::source::Source;

pub use kernel_path::KernelPath;
pub use maps::{Backing, MappedFile, Mapping};
pub use open::{RegularFile, Root, open_in_root, open_regular, open_trusted};
pub use process::Process;
pub use procfs::Procfs;
pub use store::{DebugStore, Lookup};
pub use version::{Device, FileVersion};

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

/// The same in half the time, for files that only trusted users can write and that are replaced, not rewritten:
/// nothing is checked before opening, see [`open_trusted`], and the id is not read again, see
/// [`Scanner::confirming`](crate::Scanner::confirming). Three system calls for nearly all files.
///
/// # Errors
///
/// Every kind but [`NotRegular`](crate::ErrorKind::NotRegular): a directory is [`Error::Io`] (`EISDIR`), a
/// FIFO or socket too.
pub fn build_id_trusted(path: impl AsRef<Path>) -> Result<Option<BuildId>, Error> {
    Search::new(&FdSource(open_trusted(path)?), &FOR_BUILD_ID).file_build_id()
}

/// The GNU build-id of the file behind a readable descriptor; its position is neither used nor moved.
/// It is read twice, see [`Scanner::confirming`](crate::Scanner::confirming).
///
/// The descriptor's type is the caller's business and is not checked. Pipes and sockets cannot be read at
/// an offset and end in [`Error::Io`].
///
/// # Errors
///
/// See [`Scanner::scan`](crate::Scanner::scan).
pub fn build_id_of(fd: impl AsFd) -> Result<Option<BuildId>, Error> {
    Search::new(&FdSource(fd), &FOR_BUILD_ID.confirming()).file_build_id()
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

/// An [`Error::Io`] with an error number is that of the operating system; other kinds are `InvalidData`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { error, .. } => error.into(),
            error => Self::new(std::io::ErrorKind::InvalidData, error),
        }
    }
}

impl AsRef<Path> for DebugPath {
    fn as_ref(&self) -> &Path {
        self.as_str().as_ref()
    }
}
