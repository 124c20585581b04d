//! Collector: the executable's path and build-id.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;
use zastava_elf::{BuildId, Device, Error, FileVersion, KernelPath, Process};

use super::files::{BuildIdAnswer, Files};
use super::subject::Subject;
use crate::reads::UnderWay;
use crate::text::{cause, reason, shown};

/// Which file it is, whatever it is called and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(super) device: Device,
    pub(super) inode: u64,
}

impl From<FileVersion> for FileId {
    fn from(version: FileVersion) -> Self {
        Self { device: version.device, inode: version.inode }
    }
}

/// The file that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutableFile {
    pub(super) id: FileId,
    /// Whether the file has any name.
    has_name: bool,
}

impl ExecutableFile {
    /// What the kernel has in memory, so that the file system is not asked; `None` if it says nothing.
    pub(super) fn of(process: &Process) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::NLINK;
        let look = |process: &Process| statx(process, "exe", AtFlags::STATX_DONT_SYNC, wanted).ok();
        // The first thread may have ended.
        let found = look(process).or_else(|| look(&process.living_thread()?))?;
        let device = Device { major: found.stx_dev_major, minor: found.stx_dev_minor };
        let id = FileId { device, inode: found.stx_ino };
        Some(Self { id, has_name: found.stx_nlink > 0 })
    }
}

/// The build-id of the executable, read through `/proc/<pid>/exe`, which leads to the file even if it was deleted.
///
/// # Errors
/// The reason why there is none.
pub(super) fn build_id(process: &Process, files: &Files) -> BuildIdAnswer {
    let file = process.executable().map_err(|error| cause(&error))?;
    files.build_id(file.version(), &file)
}

/// The path of the executable, and whether it was deleted. The kernel shows a deleted one as `… (deleted)`, but a living
/// one may be called so: it is deleted if no path leads to it.
pub(super) fn path_evidence(
    subject: &mut Subject,
    path: &Result<KernelPath, Error>,
    file: Option<ExecutableFile>,
) -> Evidence {
    let path = match path {
        Ok(path) => path,
        Err(error) => return Evidence::new(Signal::ProcExe, reason(&(*error).into())),
    };
    let hint = path.strip_deleted();
    let as_shown = Evidence::new(Signal::ProcExe, shown(path.as_path()));
    let Some(file) = file.filter(|file| hint.is_some() || !file.has_name) else { return as_shown };
    match living_path(subject, path.clone(), file.id) {
        Ok(Some(living)) => Evidence::new(Signal::ProcExe, shown(&living)),
        Ok(None) => Evidence::new(Signal::ProcExeDeleted, shown(hint.unwrap_or(path.as_path()))),
        // It is not known.
        Err(_) => as_shown,
    }
}

fn living_path(subject: &mut Subject, shown: KernelPath, file: FileId) -> Result<Option<PathBuf>, String> {
    let files = subject.files()?;
    let look =
        move |_: &Process, _: &UnderWay| files.path_to(&shown, file.device, file.inode).map(Path::to_owned);
    subject.read(subject.below_root(), look).map_err(|not_read| not_read.to_string())
}

/// That the id does not tell this program from others, if so.
pub(super) fn shared_id_evidence(build_id: &str) -> Option<Evidence> {
    let is_shared = build_id.parse::<BuildId>().is_ok_and(|id| id.is_degenerate());
    is_shared.then(|| {
        Evidence::new(Signal::ElfBuildId, "degenerate: programs share it that have nothing in common")
    })
}
