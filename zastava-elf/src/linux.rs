//! Files on Linux: by path, by descriptor, of a process, in a debug store.

mod calls;
mod descriptor;
mod directory;
mod files;
mod kernel_path;
mod maps;
mod memory;
mod open;
mod process;
mod procfs;
#[cfg(feature = "procmap-query")]
mod procmap;
mod root;
mod store;
mod threads;
mod version;

use std::os::fd::AsFd;
use std::path::Path;

use crate::build_id::BuildId;
use crate::error::Error;
use crate::paths::DebugPath;
use crate::reader::FOR_BUILD_ID;

pub use files::{FilePlace, OpenedFile, ProcessFiles};
pub use kernel_path::KernelPath;
pub use maps::{Backing, MappedFile, Mapping};
pub use open::{RegularFile, open_regular, open_trusted};
pub use process::Process;
pub use procfs::Procfs;
pub use root::{Root, open_in_root};
pub use store::{DebugStore, Lookup};
pub use version::{Device, FileVersion};

/// Reads the GNU build-id of the file at `path`. `None` means that everything was searched and there is none.
///
/// Follows symbolic links, including those of `/proc/<pid>/exe`. Opens regular files only; see [`open_regular`].
///
/// # Errors
///
/// Every kind.
pub fn build_id(path: impl AsRef<Path>) -> Result<Option<BuildId>, Error> {
    build_id_of(open_regular(path)?)
}

/// Reads the GNU build-id of the file at `path`, twice as fast as [`build_id`]: three system calls for nearly all
/// files. For files that only trusted users can write and that are replaced, not rewritten.
///
/// It checks nothing before it opens the path, see [`open_trusted`], and reads the id only once, see
/// [`ElfReader::confirming`](crate::ElfReader::confirming).
///
/// # Errors
///
/// Every kind but [`NotRegular`](crate::ErrorKind::NotRegular). A directory, FIFO or socket is [`Error::Io`].
pub fn build_id_trusted(path: impl AsRef<Path>) -> Result<Option<BuildId>, Error> {
    FOR_BUILD_ID.build_id(&open_trusted(path)?)
}

/// Reads the GNU build-id of the file behind a readable descriptor, without using or moving its position. Reads
/// the id twice, see [`ElfReader::confirming`](crate::ElfReader::confirming).
///
/// The type of the file is not checked. Pipes and sockets cannot be read at an offset and are [`Error::Io`].
///
/// # Errors
///
/// See [`ElfReader::identity`](crate::ElfReader::identity).
pub fn build_id_of(fd: impl AsFd) -> Result<Option<BuildId>, Error> {
    FOR_BUILD_ID.confirming().build_id(&fd.as_fd())
}

impl AsRef<Path> for DebugPath {
    fn as_ref(&self) -> &Path {
        self.as_str().as_ref()
    }
}
