//! The shared objects of a process: which files are mapped as code, and what their content says.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;

use super::capture::{bounded, reason};
use super::files::{FileVersion, Files, HashMiss};
use super::maps::{Mapping, executable_mappings};
use super::tree::ProcessDirectory;
use crate::options::CollectOptions;
use crate::runtime::evidence;

/// The largest `maps` that is read: about 65,530 mappings, the kernel's default bound.
const MAPS_BYTES_MAX: u64 = 8 << 20;
/// A descriptor of a container's root pins its file system: libraries are read no longer than this.
const LIBRARIES_TIME_MAX: Duration = Duration::from_secs(1);
/// Libraries whose missing facts are told one by one; the rest is counted.
const MISSES_TOLD_MAX: usize = 8;

/// One look at the libraries of a process.
pub(super) struct Libraries<'a> {
    pub(super) process: &'a ProcessDirectory,
    pub(super) options: &'a CollectOptions,
    pub(super) files: &'a Files,
    pub(super) evidence: &'a mut Vec<Evidence>,
}

impl Libraries<'_> {
    /// The files mapped as code, without the executable itself.
    pub(super) fn read(&mut self, executable: Option<FileVersion>) -> Vec<LoadedLibrary> {
        let content = match self.process.read("maps", MAPS_BYTES_MAX) {
            Ok(content) => content,
            Err(error) => {
                self.tell(Signal::ProcfsMaps, reason(&error));
                return Vec::new();
            }
        };
        let (mappings, left_out) = self.distinct(&content, executable);
        if left_out > 0 {
            self.tell(Signal::ProcfsMaps, format!("{left_out} files beyond the limit are left out"));
        }
        let root = match self.process.root() {
            Ok(root) => Some(root),
            Err(error) => {
                self.tell(Signal::ProcRoot, reason(&error));
                None
            }
        };
        self.read_libraries(mappings, root.as_ref())
    }

    /// Each mapped file once, without the executable itself, and how many were too many.
    fn distinct(&self, content: &[u8], executable: Option<FileVersion>) -> (Vec<Mapping>, usize) {
        let (mut seen, mut mappings, mut left_out) = (HashSet::new(), Vec::new(), 0);
        for mapping in executable_mappings(content) {
            let is_executable = executable.is_some_and(|version| version.inode == mapping.inode);
            if is_executable || !seen.insert((mapping.inode, mapping.path.clone())) {
                continue;
            }
            if mappings.len() < self.options.libraries_max {
                mappings.push(mapping);
            } else {
                left_out += 1;
            }
        }
        (mappings, left_out)
    }

    fn read_libraries(&mut self, mappings: Vec<Mapping>, root: Option<&OwnedFd>) -> Vec<LoadedLibrary> {
        let until = Instant::now() + LIBRARIES_TIME_MAX;
        let mut budget = self.options.hash_bytes_max;
        let mut misses = 0;
        let mut libraries = Vec::with_capacity(mappings.len());
        for mapping in mappings {
            let mut library = LoadedLibrary {
                path: bounded(&mapping.path.to_string_lossy()),
                inode: Some(mapping.inode),
                ..LoadedLibrary::default()
            };
            if let Some(root) = root {
                let read = match Instant::now() < until {
                    true => self.read_library(&mut library, &mapping, root, &mut budget),
                    false => Err("not read for want of time".to_owned()),
                };
                if let Err(reason) = read {
                    misses += 1;
                    if misses <= MISSES_TOLD_MAX {
                        self.tell(Signal::ProcfsMaps, format!("{}: {reason}", library.path));
                    }
                }
            }
            libraries.push(library);
        }
        if misses > MISSES_TOLD_MAX {
            self.tell(
                Signal::ProcfsMaps,
                format!("{} more files have missing facts", misses - MISSES_TOLD_MAX),
            );
        }
        libraries
    }

    /// Fills in what the file's content says; the reason when it says less than it might.
    fn read_library(
        &self,
        library: &mut LoadedLibrary,
        mapping: &Mapping,
        root: &OwnedFd,
        budget: &mut u64,
    ) -> Result<(), String> {
        let file = zastava_elf::open_in_root(root, &mapping.path).map_err(|error| match mapping.deleted {
            true => "deleted".to_owned(),
            false => bounded(&error.to_string()),
        })?;
        let version = FileVersion::of(&file).map_err(|error| reason(&error.into()))?;
        // The name leads to another file than the one that is mapped, as after an upgrade.
        if version.inode != mapping.inode {
            return Err("replaced on disk".to_owned());
        }
        // A file without a build-id is common, and no miss of ours.
        library.build_id = self.files.build_id(version, &file).ok();
        if version.size > self.options.library_bytes_max {
            return Err("too large to be hashed".to_owned());
        }
        let digest = self.files.sha256(version, &file, budget).map_err(|miss| match miss {
            HashMiss::Budget => "not hashed: the workload's budget is used up".to_owned(),
            HashMiss::Changed => "changed while it was hashed".to_owned(),
            HashMiss::Unreadable(error) => reason(&error.into()),
        })?;
        library.sha256 = digest.to_string().strip_prefix("sha256:").map(str::to_owned);
        Ok(())
    }

    fn tell(&mut self, signal: Signal, value: String) {
        self.evidence.push(evidence(signal, value));
    }
}
