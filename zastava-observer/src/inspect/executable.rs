//! Collector: the executable's path and build-id.

use rustix::fs::{AtFlags, StatxFlags, statx};
use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;
use zastava_elf::{Device, Error, KernelPath, Process};

use super::files::{BuildIdAnswer, Files};
use crate::text::{bounded, reason};

/// Which file the process runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExecutableFile {
    pub(super) device: Device,
    pub(super) inode: u64,
}

impl ExecutableFile {
    /// What the kernel has in memory, so that the file system is not asked; `None` if it says nothing.
    pub(super) fn of(process: &Process) -> Option<Self> {
        let found = statx(process, "exe", AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        let device = Device { major: found.stx_dev_major, minor: found.stx_dev_minor };
        Some(Self { device, inode: found.stx_ino })
    }
}

/// The build-id of the executable, read through `/proc/<pid>/exe`, which leads to the file even if it was deleted.
///
/// # Errors
/// The reason why there is none.
pub(super) fn build_id(process: &Process, files: &Files) -> BuildIdAnswer {
    let file = process.executable().map_err(|error| reason(&error.into()))?;
    files.build_id(file.version(), &file)
}

/// What the link says.
pub(super) fn path_evidence(path: Result<KernelPath, Error>) -> Evidence {
    let (signal, path) = match &path {
        Ok(path) => match path.strip_deleted() {
            Some(path) => (Signal::ProcExeDeleted, path),
            None => (Signal::ProcExe, path.as_path()),
        },
        Err(error) => return Evidence::new(Signal::ProcExe, reason(&(*error).into())),
    };
    Evidence::new(signal, bounded(&path.to_string_lossy()))
}
