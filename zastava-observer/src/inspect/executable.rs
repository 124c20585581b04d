//! Collector: the executable's path and build-id.

use std::io;
use std::path::PathBuf;

use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;

use super::files::{FileVersion, Files};
use crate::procfs::ProcessDirectory;
use crate::text::{bounded, reason};

const DELETED: &str = " (deleted)";

/// What is known about the executable.
pub(super) struct Executable {
    /// `None` if it could not be opened.
    pub(super) version: Option<FileVersion>,
    pub(super) build_id: Option<String>,
    pub(super) evidence: Vec<Evidence>,
}

/// Reads the executable through `/proc/<pid>/exe`, which leads to the file even if it was deleted.
/// `path` is what that link says.
pub(super) fn collect(process: &ProcessDirectory, path: io::Result<PathBuf>, files: &Files) -> Executable {
    let mut evidence = vec![path_evidence(path)];
    let mut missing = |reason: &str| evidence.push(Evidence::new(Signal::ElfBuildId, bounded(reason)));
    let opened = process.executable().and_then(|file| Ok((FileVersion::of(&file)?, file)));
    let (version, build_id) = match opened {
        Ok((version, file)) => {
            let id = files.build_id(version, file).inspect_err(|reason| missing(reason));
            (Some(version), id.ok())
        }
        Err(error) => {
            missing(&reason(&error));
            (None, None)
        }
    };
    Executable { version, build_id, evidence }
}

fn path_evidence(path: io::Result<PathBuf>) -> Evidence {
    let path = match path {
        Ok(path) => bounded(&path.to_string_lossy()),
        Err(error) => return Evidence::new(Signal::ProcExe, reason(&error)),
    };
    match path.strip_suffix(DELETED) {
        Some(path) => Evidence::new(Signal::ProcExeDeleted, path),
        None => Evidence::new(Signal::ProcExe, path),
    }
}
