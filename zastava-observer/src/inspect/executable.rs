//! Collector: the executable's path and build-id.

use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;
use zastava_elf::{Error, FileVersion, KernelPath, Process};

use super::files::Files;
use crate::text::{bounded, reason};

/// What is known about the executable.
pub(super) struct Executable {
    /// `None` if it could not be opened.
    pub(super) version: Option<FileVersion>,
    pub(super) build_id: Option<String>,
    pub(super) evidence: Vec<Evidence>,
}

/// Reads the executable through `/proc/<pid>/exe`, which leads to the file even if it was deleted.
/// `path` is what that link says.
pub(super) fn collect(process: &Process, path: Result<KernelPath, Error>, files: &Files) -> Executable {
    let mut evidence = vec![path_evidence(path)];
    let mut missing = |reason: &str| evidence.push(Evidence::new(Signal::ElfBuildId, bounded(reason)));
    let (version, build_id) = match process.executable() {
        Ok(file) => {
            let id = files.build_id(file.version(), &file).inspect_err(|reason| missing(reason));
            (Some(file.version()), id.ok())
        }
        Err(error) => {
            missing(&reason(&error.into()));
            (None, None)
        }
    };
    Executable { version, build_id, evidence }
}

fn path_evidence(path: Result<KernelPath, Error>) -> Evidence {
    let (signal, path) = match &path {
        Ok(path) => match path.strip_deleted() {
            Some(path) => (Signal::ProcExeDeleted, path),
            None => (Signal::ProcExe, path.as_path()),
        },
        Err(error) => return Evidence::new(Signal::ProcExe, reason(&(*error).into())),
    };
    Evidence::new(signal, bounded(&path.to_string_lossy()))
}
