//! Reads one mapped library, on a thread that may hang.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use zastava_elf::{Device, MappedFile, RegularFile, Root};

use super::files::{Files, HashMiss};
use super::libraries::path;
use crate::reads::{Place, UnderWay};
use crate::text::{bounded, reason};

/// What is to be read of one library, and within which limits.
pub(super) struct LibraryRead {
    pub(super) mapped: MappedFile,
    pub(super) pid: u32,
    pub(super) root: Arc<Root>,
    pub(super) files: Arc<Files>,
    pub(super) bytes_max: u64,
    /// How many bytes may be hashed.
    pub(super) budget: u64,
    pub(super) until: Instant,
}

/// What was read.
#[derive(Default)]
pub(super) struct LibraryFound {
    pub(super) build_id: Option<String>,
    pub(super) sha256: Option<String>,
    /// What is left of it.
    pub(super) budget: u64,
    /// Why a fact is missing.
    pub(super) missing: Option<String>,
}

impl LibraryRead {
    pub(super) fn run(mut self, under_way: &UnderWay) -> LibraryFound {
        let mut found = LibraryFound::default();
        found.missing = self.read(&mut found, under_way).err();
        found.budget = self.budget;
        found
    }

    fn read(&mut self, found: &mut LibraryFound, under_way: &UnderWay) -> Result<(), String> {
        let file = self.open(under_way)?;
        let version = file.version();
        // After an upgrade the path leads to another file than the one that is mapped. The inode decides:
        // on overlayfs and btrfs the device of a mapping differs from what `stat` says.
        if version.inode != self.mapped.inode {
            return Err("replaced on disk".to_owned());
        }
        // Many files carry no build-id. That is not a missing fact.
        found.build_id = self.files.build_id(version, &file).ok();
        if version.size > self.bytes_max {
            return Err("too large to be hashed".to_owned());
        }
        let hashed = self.files.sha256(version, &file, &mut self.budget, self.until);
        let digest = hashed.map_err(|miss| match miss {
            HashMiss::Budget => "not hashed: the workload's budget is used up".to_owned(),
            HashMiss::Changed => "changed while it was hashed".to_owned(),
            HashMiss::Time => "not hashed: the time limit is reached".to_owned(),
            HashMiss::Unreadable(error) => reason(&error.into()),
        })?;
        found.sha256 = digest.to_string().strip_prefix("sha256:").map(str::to_owned);
        Ok(())
    }

    /// Opens the file. As long as the kernel has the path in memory, the file system is known before it is asked anything.
    /// A path that must be looked up can hang anywhere, so that only the process is to blame: mount points, links and
    /// mapped paths are the workload's own.
    fn open(&self, under_way: &UnderWay) -> Result<RegularFile, String> {
        let path = path(&self.mapped);
        let refused = |not_read: crate::reads::NotRead| not_read.to_string();
        let opened = match find_cached(&self.root, path) {
            Some((found, device)) => {
                under_way.goes_to(Place::FileSystem(device)).map_err(refused)?;
                zastava_elf::open_regular(format!("/proc/self/fd/{}", found.as_raw_fd()))
            }
            None => {
                under_way.goes_to(Place::Process { pid: self.pid, file: "root" }).map_err(refused)?;
                self.root.open_regular(path)
            }
        };
        let file = opened.map_err(|error| match self.mapped.path.strip_deleted() {
            Some(_) => "deleted".to_owned(),
            None => bounded(&error.to_string()),
        })?;
        under_way.goes_to(Place::FileSystem(file.version().device)).map_err(refused)?;
        Ok(file)
    }
}

/// What the path leads to, and on which file system, if the kernel can say so without asking any file system (Linux 5.12).
fn find_cached(root: &Root, path: &Path) -> Option<(OwnedFd, Device)> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
    let found = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let known = statx(&found, "", flags, StatxFlags::TYPE).ok()?;
    Some((found, Device { major: known.stx_dev_major, minor: known.stx_dev_minor }))
}
