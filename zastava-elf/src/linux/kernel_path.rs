//! Paths as the kernel shows them in `/proc`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::vec::Vec;

/// A path as the kernel shows it in `/proc`: the target of a link such as `exe`, or the name of a mapped file.
///
/// It is text for people. When the file's name was removed, the text ends in ` (deleted)`; but a file may also
/// be called so. It may lead to another file by now, or to none. To be sure, open what one of the
/// [`readings`](Self::readings) leads to and compare the file; [`ProcessFiles`](crate::ProcessFiles) does that.
// docs/design/elf.md#why-does-a-mapped-files-path-keep-the-ending--deleted
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelPath {
    path: PathBuf,
    /// The text as it was written, if it has an escape.
    written: Option<PathBuf>,
}

impl KernelPath {
    /// A path in which the kernel escapes nothing.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: None }
    }

    /// A path in which `\012` stands for a line break, the kernel's only escape in `maps` (`seq_path` with `"\n"`,
    /// fs/proc/task_mmu.c).
    pub(super) fn escaped(written: &[u8]) -> Self {
        const LINE_BREAK: &[u8] = b"\\012";
        let (mut path, mut rest) = (Vec::with_capacity(written.len()), written);
        while let Some(at) = rest.windows(LINE_BREAK.len()).position(|window| window == LINE_BREAK) {
            path.extend(&rest[..at]);
            path.push(b'\n');
            rest = &rest[at + LINE_BREAK.len()..];
        }
        path.extend(rest);
        let owned = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let has_escape = path.len() != written.len();
        Self { path: owned(path), written: has_escape.then(|| owned(written.to_vec())) }
    }

    /// The whole text, with the ending ` (deleted)` if it has one.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// The text before an ending of ` (deleted)`; `None` if it has no such ending.
    #[must_use]
    pub fn strip_deleted(&self) -> Option<&Path> {
        strip_deleted(&self.path)
    }

    /// The paths that the text may stand for, the most likely one first: with and without the ending, and with `\012`
    /// as a line break and as a part of the name.
    pub fn readings(&self) -> impl Iterator<Item = &Path> {
        let texts = [Some(&self.path), self.written.as_ref()].into_iter().flatten();
        texts.flat_map(|text| [Some(text.as_path()), strip_deleted(text)].into_iter().flatten())
    }
}

fn strip_deleted(path: &Path) -> Option<&Path> {
    let path = path.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    Some(Path::new(OsStr::from_bytes(path)))
}

impl AsRef<Path> for KernelPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl From<KernelPath> for PathBuf {
    fn from(path: KernelPath) -> Self {
        path.path
    }
}
