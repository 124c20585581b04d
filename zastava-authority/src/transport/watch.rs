//! Notices that files changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The files are checked at most this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Files that could not be used are read again after this time, even if nothing changed: the fault may
/// have been ours, such as too many open files.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Changes when a file is written, replaced or made readable: inode, length, and the seconds and
/// nanoseconds of the last change of its content and of its inode. Links are followed, so that
/// Kubernetes' swap of `..data` is noticed.
pub(crate) type Stamp = Option<(u64, u64, [i64; 4])>;

pub(crate) fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some((metadata.ino(), metadata.len(), times))
}

#[derive(Debug)]
pub(crate) struct FileWatch {
    paths: Vec<PathBuf>,
    /// At the last look. Empty before the first.
    stamps: Vec<Stamp>,
    looked: Option<Instant>,
    failed: Option<Instant>,
}

impl FileWatch {
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), stamps: Vec::new(), looked: None, failed: None }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL)
    }

    /// Whether the files should be read: at the first look, and when they changed since the last. A
    /// change while they are read is noticed at the next look.
    pub(crate) fn look(&mut self) -> bool {
        self.looked = Some(Instant::now());
        let stamps: Vec<_> = self.paths.iter().map(|path| stamp(path)).collect();
        let again = self.failed.is_some_and(|at| at.elapsed() >= RETRY_INTERVAL);
        let changed = stamps != self.stamps;
        self.stamps = stamps;
        changed || again
    }

    /// Reports whether the files that were read after the last look could be used.
    pub(crate) fn outcome(&mut self, usable: bool) {
        self.failed = (!usable).then(Instant::now);
    }
}
