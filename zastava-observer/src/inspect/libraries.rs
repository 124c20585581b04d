//! Collector: the shared objects that a process has mapped as code, with build-id, inode and SHA-256.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;
use zastava_elf::{MappedFile, Mapping, Root};

use super::executable::ExecutableFile;
use super::files::Files;
use super::library::LibraryRead;
use super::subject::Subject;
use crate::options::CollectOptions;
use crate::reads::Place;
use crate::text::{bounded, reason};

/// The largest `maps` that is read. The kernel allows about 65,530 mappings by default.
const MAPS_BYTES_MAX: u64 = 8 << 20;
/// The longest time for one process. A descriptor of a container's root pins its file system.
const LIBRARIES_TIME_MAX: Duration = Duration::from_secs(1);
/// The most libraries whose missing facts are evidence of their own. The rest is counted.
const MISSES_LISTED_MAX: usize = 8;

/// Collects the libraries of one process.
pub(super) struct Libraries<'a> {
    subject: &'a mut Subject,
    options: &'a CollectOptions,
    files: &'a Arc<Files>,
    evidence: Vec<Evidence>,
}

impl<'a> Libraries<'a> {
    pub(super) fn new(subject: &'a mut Subject, options: &'a CollectOptions, files: &'a Arc<Files>) -> Self {
        Self { subject, options, files, evidence: Vec::new() }
    }

    /// The files that are mapped as code, without the executable itself.
    pub(super) fn collect(
        mut self,
        executable: Option<ExecutableFile>,
    ) -> (Vec<LoadedLibrary>, Vec<Evidence>) {
        let libraries = match self.subject.read_file("maps", MAPS_BYTES_MAX) {
            Ok(content) => self.read_mapped(&content, executable),
            Err(reason) => {
                self.add(Signal::ProcfsMaps, reason);
                Vec::new()
            }
        };
        (libraries, self.evidence)
    }

    fn read_mapped(&mut self, maps: &[u8], executable: Option<ExecutableFile>) -> Vec<LoadedLibrary> {
        let (mapped, left_out) = self.distinct(maps, executable);
        if left_out > 0 {
            self.add(Signal::ProcfsMaps, format!("{left_out} files beyond the limit are left out"));
        }
        let root = self.root().map_err(|reason| self.add(Signal::ProcRoot, reason));
        self.read_libraries(mapped, root.ok().as_ref())
    }

    fn root(&mut self) -> Result<Arc<Root>, String> {
        let place = Place::Process { pid: self.subject.pid(), file: "root" };
        match self.subject.read(place, |process, _| process.root()) {
            Ok(root) => root.map(Arc::new).map_err(|error| reason(&error.into())),
            Err(not_read) => Err(not_read.to_string()),
        }
    }

    /// Each file that is mapped as code once, without the executable itself, and how many are beyond the
    /// limit. Lines that the kernel does not write are skipped.
    fn distinct(&self, maps: &[u8], executable: Option<ExecutableFile>) -> (Vec<MappedFile>, usize) {
        let (mut seen, mut mapped, mut left_out) = (HashSet::new(), Vec::new(), 0);
        let lines = maps.split(|byte| *byte == b'\n').filter_map(Mapping::parse);
        for mapping in lines.filter(|mapping| mapping.is_executable) {
            let Some(file) = mapping.file() else { continue };
            let is_executable = executable.is_some_and(|executable| executable.inode == file.inode);
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

    fn read_libraries(&mut self, mapped: Vec<MappedFile>, root: Option<&Arc<Root>>) -> Vec<LoadedLibrary> {
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
                    true => self.read_library(&mut library, file, root, &mut budget, until),
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
        &mut self,
        library: &mut LoadedLibrary,
        mapped: MappedFile,
        root: &Arc<Root>,
        budget: &mut u64,
        until: Instant,
    ) -> Result<(), String> {
        let (root, files) = (Arc::clone(root), Arc::clone(self.files));
        let (pid, bytes_max) = (self.subject.pid(), self.options.library_bytes_max);
        let read = LibraryRead { mapped, pid, root, files, bytes_max, budget: *budget, until };
        let found = self.subject.read(Place::Memory, move |_, under_way| read.run(under_way));
        let found = found.map_err(|not_read| not_read.to_string())?;
        *budget = found.budget;
        (library.build_id, library.sha256) = (found.build_id, found.sha256);
        found.missing.map_or(Ok(()), Err)
    }

    fn add(&mut self, signal: Signal, value: String) {
        self.evidence.push(Evidence::new(signal, value));
    }
}

/// The path without the kernel's ` (deleted)`. A file may also end so; only the inode decides.
pub(super) fn path(file: &MappedFile) -> &Path {
    file.path.strip_deleted().unwrap_or(file.path.as_path())
}
