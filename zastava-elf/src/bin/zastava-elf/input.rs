//! Reads the files that an input stands for.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zastava_elf::{
    ElfReader, Errno, Error, FileVersion, HtlHash, Identity, Part, Process, RegularFile, open_regular,
};

use crate::arguments::Input;

/// One file and what was read of it.
pub(crate) struct Reading {
    /// The path as it was given, or as the process has it.
    pub(crate) path: PathBuf,
    pub(crate) identity: Result<Identity, Error>,
    pub(crate) htlhash: Option<HtlHash>,
    /// The file was found in a directory or among mappings, and not asked for by name.
    pub(crate) is_one_of_many: bool,
}

impl Reading {
    fn new(path: &Path, file: Result<RegularFile, Error>, is_one_of_many: bool) -> Self {
        let (identity, htlhash) = match file {
            Ok(file) => {
                let FileVersion { size, .. } = file.version();
                let (identity, hash) = ElfReader::new().confirming().identity_and_hash(&file, size);
                (identity, hash.ok())
            }
            Err(error) => (Err(error), None),
        };
        Self { path: path.to_owned(), identity, htlhash, is_one_of_many }
    }
}

type Report<'r> = &'r mut dyn FnMut(Reading) -> io::Result<()>;

/// The outer error: a reading could not be reported. The inner one: the input could not be read.
type ReadInput = io::Result<Result<(), Error>>;

/// Reports every file of the input; with `all`, every mapped file of a process.
pub(crate) fn read(input: &Input, all: bool, report: Report<'_>) -> ReadInput {
    match input {
        Input::Path(path) if path.is_dir() => read_directory(path, report).map(Ok),
        Input::Path(path) => report(Reading::new(path, open_regular(path), false)).map(Ok),
        Input::Process(pid) => match Process::open(*pid) {
            Ok(process) if all => read_mappings(&process, report),
            Ok(process) => {
                let path = process.link("exe").map_or_else(|_| format!("pid:{pid}").into(), PathBuf::from);
                report(Reading::new(&path, process.executable(), false)).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        },
    }
}

fn read_mappings(process: &Process, report: Report<'_>) -> ReadInput {
    let mappings = match process.mappings() {
        Ok(mappings) => mappings,
        Err(error) => return Ok(Err(error)),
    };
    let files = match process.files() {
        Ok(files) => files,
        Err(error) => return Ok(Err(error)),
    };
    let mut seen = HashSet::new();
    for mapping in &mappings {
        let Some(mapped) = mapping.file().filter(|mapped| !mapped.is_memory()) else { continue };
        // Most files are mapped in several parts. Files of two subvolumes may have the same device and inode.
        if seen.insert(mapped) {
            let file = files.open(mapping).map(|opened| opened.file);
            report(Reading::new(mapped.path.as_path(), file, true))?;
        }
    }
    Ok(Ok(()))
}

/// Reports each file once, although it may have several names.
fn read_directory(root: &Path, report: Report<'_>) -> io::Result<()> {
    let mut seen = HashSet::new();
    let mut directories: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                report(Reading::new(&directory, Err(cannot_list(&error)), true))?;
                continue;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let file = open_regular(entry.path());
                    if file.as_ref().is_ok_and(|file| !seen.insert(file.version())) {
                        continue;
                    }
                    report(Reading::new(&entry.path(), file, true))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn cannot_list(error: &io::Error) -> Error {
    Error::Io { part: Part::File, error: Errno::from_raw(error.raw_os_error().unwrap_or_default()) }
}
