//! Collector: the shared objects that a process has mapped as code, with build-id, inode and SHA-256.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;
use zastava_elf::{FileVersion, MappedFile, Mapping, Process, Root};

use super::files::{Files, HashMiss};
use crate::options::CollectOptions;
use crate::text::{bounded, reason};

/// The largest `maps` that is read. The kernel allows about 65,530 mappings by default.
const MAPS_BYTES_MAX: u64 = 8 << 20;
/// The longest time for one process. A descriptor of a container's root pins its file system.
const LIBRARIES_TIME_MAX: Duration = Duration::from_secs(1);
/// The most libraries whose missing facts are evidence of their own. The rest is counted.
const MISSES_LISTED_MAX: usize = 8;

/// Collects the libraries of one process.
pub(super) struct Libraries<'a> {
    process: &'a Process,
    options: &'a CollectOptions,
    files: &'a Files,
    evidence: Vec<Evidence>,
}

impl<'a> Libraries<'a> {
    pub(super) fn new(process: &'a Process, options: &'a CollectOptions, files: &'a Files) -> Self {
        Self { process, options, files, evidence: Vec::new() }
    }

    /// The files that are mapped as code, without the executable itself.
    pub(super) fn collect(mut self, executable: Option<FileVersion>) -> (Vec<LoadedLibrary>, Vec<Evidence>) {
        let libraries = match self.process.read("maps", MAPS_BYTES_MAX) {
            Ok(content) => self.read_mapped(&content, executable),
            Err(error) => {
                self.add(Signal::ProcfsMaps, reason(&error.into()));
                Vec::new()
            }
        };
        (libraries, self.evidence)
    }

    fn read_mapped(&mut self, maps: &[u8], executable: Option<FileVersion>) -> Vec<LoadedLibrary> {
        let (mapped, left_out) = self.distinct(maps, executable);
        if left_out > 0 {
            self.add(Signal::ProcfsMaps, format!("{left_out} files beyond the limit are left out"));
        }
        let root = self.process.root().inspect_err(|error| {
            self.evidence.push(Evidence::new(Signal::ProcRoot, reason(&(*error).into())));
        });
        self.read_libraries(mapped, root.ok().as_ref())
    }

    /// Each file that is mapped as code once, without the executable itself, and how many are beyond the
    /// limit. Lines that the kernel does not write are skipped.
    fn distinct(&self, maps: &[u8], executable: Option<FileVersion>) -> (Vec<MappedFile>, usize) {
        let (mut seen, mut mapped, mut left_out) = (HashSet::new(), Vec::new(), 0);
        let lines = maps.split(|byte| *byte == b'\n').filter_map(Mapping::parse);
        for mapping in lines.filter(|mapping| mapping.is_executable) {
            let Some(file) = mapping.file() else { continue };
            let is_executable = executable.is_some_and(|version| version.inode == file.inode);
            if is_executable || !seen.insert((file.inode, path(file).to_owned())) {
                continue;
            }
            if mapped.len() < self.options.libraries_max {
                mapped.push(file.clone());
            } else {
                left_out += 1;
            }
        }
        (mapped, left_out)
    }

    fn read_libraries(&mut self, mapped: Vec<MappedFile>, root: Option<&Root>) -> Vec<LoadedLibrary> {
        let until = Instant::now() + LIBRARIES_TIME_MAX;
        let mut budget = self.options.hash_bytes_max;
        let mut misses = 0;
        let mut libraries = Vec::with_capacity(mapped.len());
        for file in mapped {
            let mut library = LoadedLibrary {
                path: bounded(&path(&file).to_string_lossy()),
                inode: Some(file.inode),
                ..LoadedLibrary::default()
            };
            if let Some(root) = root {
                let read = match Instant::now() < until {
                    true => self.read_library(&mut library, &file, root, &mut budget),
                    false => Err("not read: the time limit is reached".to_owned()),
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
        mapped: &MappedFile,
        root: &Root,
        budget: &mut u64,
    ) -> Result<(), String> {
        let file = root.open_regular(path(mapped)).map_err(|error| match mapped.path.strip_deleted() {
            Some(_) => "deleted".to_owned(),
            None => bounded(&error.to_string()),
        })?;
        let version = file.version();
        // After an upgrade the path leads to another file than the one that is mapped. The inode decides:
        // on overlayfs and btrfs the device of a mapping differs from what `stat` says.
        if version.inode != mapped.inode {
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

/// The path without the kernel's ` (deleted)`. A file may also end so; only the inode decides.
fn path(file: &MappedFile) -> &Path {
    file.path.strip_deleted().unwrap_or(file.path.as_path())
}
