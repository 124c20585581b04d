//! Collector: the shared objects that a process has mapped as code, with build-id, inode and SHA-256.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;

use super::files::{FileVersion, Files, HashMiss};
use crate::options::CollectOptions;
use crate::procfs::{Mapping, ProcessDirectory, executable_mappings};
use crate::text::{bounded, reason};

/// The largest `maps` that is read. The kernel allows about 65,530 mappings by default.
const MAPS_BYTES_MAX: u64 = 8 << 20;
/// The longest time for one process. A descriptor of a container's root pins its file system.
const LIBRARIES_TIME_MAX: Duration = Duration::from_secs(1);
/// The most libraries whose missing facts are evidence of their own. The rest is counted.
const MISSES_LISTED_MAX: usize = 8;

/// Collects the libraries of one process.
pub(super) struct Libraries<'a> {
    process: &'a ProcessDirectory,
    options: &'a CollectOptions,
    files: &'a Files,
    evidence: Vec<Evidence>,
}

impl<'a> Libraries<'a> {
    pub(super) fn new(process: &'a ProcessDirectory, options: &'a CollectOptions, files: &'a Files) -> Self {
        Self { process, options, files, evidence: Vec::new() }
    }

    /// The files that are mapped as code, without the executable itself.
    pub(super) fn collect(mut self, executable: Option<FileVersion>) -> (Vec<LoadedLibrary>, Vec<Evidence>) {
        let libraries = match self.process.read("maps", MAPS_BYTES_MAX) {
            Ok(content) => self.read_mapped(&content, executable),
            Err(error) => {
                self.add(Signal::ProcfsMaps, reason(&error));
                Vec::new()
            }
        };
        (libraries, self.evidence)
    }

    fn read_mapped(&mut self, maps: &[u8], executable: Option<FileVersion>) -> Vec<LoadedLibrary> {
        let (mappings, left_out) = self.distinct(maps, executable);
        if left_out > 0 {
            self.add(Signal::ProcfsMaps, format!("{left_out} files beyond the limit are left out"));
        }
        let root = self.process.root().inspect_err(|error| {
            self.evidence.push(Evidence::new(Signal::ProcRoot, reason(error)));
        });
        self.read_libraries(mappings, root.ok().as_ref())
    }

    /// Each mapped file once, without the executable itself, and how many are beyond the limit.
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
                    if misses <= MISSES_LISTED_MAX {
                        self.add(Signal::ProcfsMaps, format!("{}: {reason}", library.path));
                    }
                }
            }
            libraries.push(library);
        }
        if misses > MISSES_LISTED_MAX {
            self.add(
                Signal::ProcfsMaps,
                format!("{} more files have missing facts", misses - MISSES_LISTED_MAX),
            );
        }
        libraries
    }

    /// Adds what the file's content says, or returns the reason why some of it is missing.
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
        // After an upgrade the path leads to another file than the one that is mapped.
        if version.inode != mapping.inode {
            return Err("replaced on disk".to_owned());
        }
        // Many files carry no build-id. That is not a missing fact.
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

    fn add(&mut self, signal: Signal, value: String) {
        self.evidence.push(Evidence::new(signal, value));
    }
}
