//! Collector: the shared objects that a process has mapped as code, with build-id, inode and SHA-256.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zastava_core::contract::{Evidence, LoadedLibrary};
use zastava_core::vocabulary::Signal;
use zastava_elf::ProcessFiles;

use super::files::Files;
use super::library::LibraryRead;
use super::mapped::{LibraryMapping, Program, mapped_libraries};
use super::subject::Subject;
use crate::options::CollectOptions;
use crate::reads::Place;
use crate::text::shown;

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
    pub(super) fn collect(mut self, program: Option<Program>) -> (Vec<LoadedLibrary>, Vec<Evidence>) {
        let libraries = match self.subject.read_file("maps", MAPS_BYTES_MAX) {
            Ok(content) => self.read_mapped(&content, program.as_ref()),
            Err(reason) => {
                self.add(Signal::ProcfsMaps, reason);
                Vec::new()
            }
        };
        (libraries, self.evidence)
    }

    fn read_mapped(&mut self, maps: &[u8], program: Option<&Program>) -> Vec<LoadedLibrary> {
        let (mapped, left_out) = mapped_libraries(maps, program, self.options.libraries_max);
        if left_out > 0 {
            self.add(Signal::ProcfsMaps, format!("{left_out} files beyond the limit are left out"));
        }
        let opener = self.subject.files().map_err(|reason| self.add(Signal::ProcRoot, reason));
        self.read_libraries(mapped, opener.ok().as_ref())
    }

    fn read_libraries(
        &mut self,
        mapped: Vec<LibraryMapping>,
        opener: Option<&Arc<ProcessFiles>>,
    ) -> Vec<LoadedLibrary> {
        let mut until = Instant::now() + LIBRARIES_TIME_MAX;
        let mut budget = self.options.hash_bytes_max;
        let mut misses = 0;
        let mut libraries = Vec::with_capacity(mapped.len());
        for LibraryMapping { mapping, file } in mapped {
            // The text says no more than this until a path is found that leads to the file.
            let path = file.path.strip_deleted().unwrap_or(file.path.as_path());
            let inode = Some(file.inode);
            let mut library = LoadedLibrary { path: shown(path), inode, ..LoadedLibrary::default() };
            if let Some(opener) = opener {
                let mapped = LibraryMapping { mapping, file };
                let read = match Instant::now() < until {
                    true => self.read_library(&mut library, mapped, opener, &mut budget, &mut until),
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
        mapped: LibraryMapping,
        opener: &Arc<ProcessFiles>,
        budget: &mut u64,
        until: &mut Instant,
    ) -> Result<(), String> {
        let (opener, files) = (Arc::clone(opener), Arc::clone(self.files));
        let (below_root, bytes_max) = (self.subject.below_root(), self.options.library_bytes_max);
        let read =
            LibraryRead { mapped, below_root, opener, files, bytes_max, budget: *budget, until: *until };
        let since = Instant::now();
        let found = self.subject.read(Place::Memory, move |_, under_way| read.run(under_way));
        let found = found.map_err(|not_read| {
            // The wait takes nothing from the other libraries.
            *until += since.elapsed();
            not_read.to_string()
        })?;
        *budget = found.budget;
        (library.build_id, library.sha256) = (found.build_id, found.sha256);
        if let Some(path) = found.path {
            library.path = shown(&path);
        }
        found.missing.map_or(Ok(()), Err)
    }

    fn add(&mut self, signal: Signal, value: String) {
        self.evidence.push(Evidence::new(signal, value));
    }
}
