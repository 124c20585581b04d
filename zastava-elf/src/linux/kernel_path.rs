//! Paths as the kernel shows them in `/proc`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A path as the kernel shows it in `/proc`: the target of a link such as `exe`, or the name of a mapped file.
///
/// It is text for people. When the file's name was removed, the text ends in ` (deleted)`; but a file may also
/// be called so. It may lead to another file by now, or to none. To be sure, open it and compare the
/// [`FileVersion`](crate::FileVersion).
// docs/design/elf.md#why-does-a-mapped-files-path-keep-the-ending--deleted
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelPath(PathBuf);

impl KernelPath {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The whole text, with the ending ` (deleted)` if it has one.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The text before an ending of ` (deleted)`; `None` if it has no such ending.
    #[must_use]
    pub fn strip_deleted(&self) -> Option<&Path> {
        let path = self.0.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
        Some(Path::new(OsStr::from_bytes(path)))
    }
}

impl AsRef<Path> for KernelPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<KernelPath> for PathBuf {
    fn from(path: KernelPath) -> Self {
        path.0
    }
}
