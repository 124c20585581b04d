//! Reads one mapped library, on a thread that may hang.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use zastava_elf::{Device, Errno, Error, FilePlace, ProcessFiles, RegularFile, Root};

use super::files::{Files, HashMiss};
use super::mapped::LibraryMapping;
use crate::reads::{NotRead, Place, UnderWay};
use crate::text::{cause, reason};

const NOT_FOUND: Errno = Errno::from_raw(2);

/// What is to be read of one library, and within which limits.
pub(super) struct LibraryRead {
    pub(super) mapped: LibraryMapping,
    pub(super) opener: Arc<ProcessFiles>,
    /// What a path that must be looked up waits for.
    pub(super) below_root: Place,
    pub(super) files: Arc<Files>,
    pub(super) bytes_max: u64,
    /// How many bytes may be hashed.
    pub(super) budget: u64,
    pub(super) until: Instant,
}

/// What was read.
#[derive(Default)]
pub(super) struct LibraryFound {
    /// The path that leads to the file, if one does.
    pub(super) path: Option<PathBuf>,
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
        let file = self.open(found, under_way)?;
        let version = file.version();
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

    /// Opens the file that is mapped, by a path that leads to it or else by its address.
    fn open(&self, found: &mut LibraryFound, under_way: &UnderWay) -> Result<RegularFile, String> {
        let (mapped, mut failure) = (&self.mapped.file, None);
        for place in self.opener.places(&mapped.path) {
            match self.open_at(place, under_way).map_err(|not_read| not_read.to_string())? {
                Ok(file) if file.is(mapped) => {
                    found.path = Some(place.path.to_owned());
                    return Ok(file);
                }
                // After an upgrade the path leads to another file.
                Ok(_) => failure = Some("replaced on disk".to_owned()),
                Err(error) => failure = failure.or_else(|| Some(self.miss(&error))),
            }
        }
        // It takes a capability that an observer seldom has. The device may be another than the one that is asked.
        under_way.goes_to(Place::FileSystem(mapped.device)).map_err(|not_read| not_read.to_string())?;
        let by_address = self.opener.open_by_address(&self.mapped.mapping);
        by_address.map_err(|error| failure.unwrap_or_else(|| cause(&error)))
    }

    /// As long as the kernel has the path in memory, the file system is known before it is asked anything. A path that
    /// must be looked up can hang anywhere, so that only the process is to blame: mount points, links and mapped paths are
    /// the workload's own.
    fn open_at(
        &self,
        place: FilePlace<'_>,
        under_way: &UnderWay,
    ) -> Result<Result<RegularFile, Error>, NotRead> {
        let opened = match find_cached(place.root, place.path_in_root) {
            Some((found, device)) => {
                under_way.goes_to(Place::FileSystem(device))?;
                zastava_elf::open_regular(format!("/proc/self/fd/{}", found.as_raw_fd()))
            }
            None => {
                under_way.goes_to(self.below_root)?;
                place.open()
            }
        };
        if let Ok(file) = &opened {
            under_way.goes_to(Place::FileSystem(file.version().device))?;
        }
        Ok(opened)
    }

    fn miss(&self, error: &Error) -> String {
        let is_absent = matches!(error, Error::Io { error, .. } if *error == NOT_FOUND);
        match self.mapped.file.path.strip_deleted() {
            Some(_) if is_absent => "deleted".to_owned(),
            _ => cause(error),
        }
    }
}

/// What the path leads to, and on which file system, if the kernel can say so without asking any file system (Linux 5.12).
fn find_cached(root: &Root, path: &Path) -> Option<(OwnedFd, Device)> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::CACHED;
    let found = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let known = statx(&found, "", flags, StatxFlags::TYPE).ok()?;
    Some((found, Device { major: known.stx_dev_major, minor: known.stx_dev_minor }))
}
