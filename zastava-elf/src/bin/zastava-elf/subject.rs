//! From what was asked for to the files that it means.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zastava_elf::{
    Errno, Error, FileVersion, HtlHash, Identity, MappedFile, Place, Process, RegularFile, Scanner,
    open_regular,
};

use crate::arguments::Target;

/// One file and what it says.
pub(crate) struct Answer {
    /// Its path as asked for, or as the process has it.
    pub(crate) name: String,
    pub(crate) identity: Result<Identity, Error>,
    pub(crate) htlhash: Option<HtlHash>,
    /// Found in a directory or among mappings, not asked for by name.
    pub(crate) is_one_of_many: bool,
}

pub(crate) struct Subject<'t> {
    pub(crate) target: &'t Target,
    pub(crate) all: bool,
}

type Each<'e> = &'e mut dyn FnMut(Answer) -> io::Result<()>;
/// Outer: the answers could not be written. Inner: the subject could not be looked at.
type Walked = io::Result<Result<(), Error>>;

impl Subject<'_> {
    pub(crate) fn answers(&self, each: Each<'_>) -> Walked {
        match self.target {
            Target::Path(path) if path.is_dir() => directory(path, each),
            Target::Path(path) => each(answer(shown(path), open_regular(path), false)).map(Ok),
            Target::Pid(pid) => match Process::open(*pid) {
                Ok(process) => self.process(*pid, &process, each),
                Err(error) => Ok(Err(error)),
            },
        }
    }

    fn process(&self, pid: u32, process: &Process, each: Each<'_>) -> Walked {
        if !self.all {
            let name = fs::read_link(format!("/proc/{pid}/exe"))
                .map_or_else(|_| format!("pid:{pid}"), |path| shown(&path));
            return each(answer(name, process.executable(), false)).map(Ok);
        }
        let mappings = match process.mappings() {
            Ok(mappings) => mappings,
            Err(error) => return Ok(Err(error)),
        };
        let mut seen = HashSet::new();
        for mapping in &mappings {
            let Some(mapped) = mapping.file() else { continue };
            // Most files are mapped in several parts.
            if !seen.insert((mapped.device, mapped.inode)) {
                continue;
            }
            let file = process
                .open_mapping(mapping.addresses.clone())
                .or_else(|error| by_path(process, mapped).ok_or(error));
            each(answer(shown(mapped.path.as_path()), file, true))?;
        }
        Ok(Ok(()))
    }
}

/// Without the capability for `map_files`: by the path, if it still leads to the mapped file.
fn by_path(process: &Process, mapped: &MappedFile) -> Option<RegularFile> {
    let path = mapped.path.strip_deleted().unwrap_or(mapped.path.as_path());
    let file = process.root().and_then(|root| root.open_regular(path)).ok()?;
    (file.version().inode == mapped.inode).then_some(file)
}

/// Each file once; a directory of one's own making may hold a file under many names.
fn directory(root: &Path, each: Each<'_>) -> Walked {
    let mut seen = HashSet::new();
    let mut rest: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = rest.pop() {
        let entries = fs::read_dir(&directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                each(Answer {
                    name: shown(&directory),
                    identity: Err(cannot_list(&error)),
                    htlhash: None,
                    is_one_of_many: true,
                })?;
                continue;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => rest.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let file = open_regular(entry.path());
                    if file.as_ref().is_ok_and(|file| !seen.insert(file.version())) {
                        continue;
                    }
                    each(answer(shown(&entry.path()), file, true))?;
                }
                _ => {}
            }
        }
    }
    Ok(Ok(()))
}

fn answer(name: String, file: Result<RegularFile, Error>, is_one_of_many: bool) -> Answer {
    let (identity, htlhash) = match file {
        Ok(file) => {
            let FileVersion { size, .. } = file.version();
            let (identity, hash) = Scanner::new().confirming().scan_and_hash(&file, size);
            (identity, hash.ok())
        }
        Err(error) => (Err(error), None),
    };
    Answer { name, identity, htlhash, is_one_of_many }
}

fn cannot_list(error: &io::Error) -> Error {
    Error::Io { place: Place::Open, error: Errno::from_raw(error.raw_os_error().unwrap_or_default()) }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
