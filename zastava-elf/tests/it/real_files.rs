//! The files of this machine, compared with readelf and eu-readelf.
#![expect(clippy::print_stderr, reason = "the comparison says how many files it read")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::skip;
use zastava_elf::{BuildId, ElfReader, Endian, Error, build_id, build_id_in, build_id_in_notes, build_id_of};

/// The tools, and how their line with the id begins.
const TOOLS: [(&str, &str); 2] = [("readelf", "Build ID: "), ("eu-readelf", "Build ID: ")];

/// The first id that `tool -n` prints, or `None` if it prints none.
fn first_id(tool: &str, prefix: &str, path: &Path) -> Option<String> {
    let output = Command::new(tool).arg("-n").arg(path).env("LC_ALL", "C").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.trim().strip_prefix(prefix)).map(str::to_owned)
}

fn is_installed(tool: &str) -> bool {
    match Command::new(tool).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        result => result.expect("it runs").status.success(),
    }
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// The directories of programs and libraries on Debian and its derivatives, as far as this machine has them.
const DIRECTORIES: [&str; 4] =
    ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// The ELF files in these directories, each once. `ZASTAVA_ELF_FILES` names others, separated by colons, which
/// are searched to the bottom.
fn elf_files() -> BTreeSet<PathBuf> {
    let (mut open, is_deep) = match std::env::var("ZASTAVA_ELF_FILES") {
        Ok(directories) => (directories.split(':').map(PathBuf::from).collect(), true),
        Err(_) => (DIRECTORIES.map(PathBuf::from).to_vec(), false),
    };
    let mut found = BTreeSet::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_deep => open.push(entry.path()),
                _ => found.extend(fs::canonicalize(entry.path()).ok().filter(|path| is_elf(path))),
            }
        }
    }
    found
}

/// The reason why an answer differs on purpose. None is a wrong id.
fn exception(got: Result<Option<BuildId>, Error>, wanted: Option<&str>) -> Option<&'static str> {
    match (got, wanted) {
        // The tools print a warning and no id. We do not call a search complete that was not.
        (Err(_), None) => Some("damaged or over a limit: we say so, the tool finds no id"),
        _ => None,
    }
}

/// One thread for each processor, since there are gigabytes of files and a process for each.
#[test]
fn every_program_has_the_id_that_the_tools_print() {
    let paths: Vec<_> = elf_files().into_iter().collect();
    for (tool, prefix) in TOOLS {
        if !is_installed(tool) {
            skip(&format!("{tool} is not installed"));
            continue;
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = paths.len().div_ceil(threads).max(1);
        let parts: Vec<(usize, Vec<String>, Vec<String>)> = std::thread::scope(|scope| {
            let compare = |paths| move || compare(tool, prefix, paths);
            let threads: Vec<_> = paths.chunks(part).map(|paths| scope.spawn(compare(paths))).collect();
            threads.into_iter().map(|thread| thread.join().expect("compared")).collect()
        });
        let with_id: usize = parts.iter().map(|part| part.0).sum();
        let exceptions: Vec<_> = parts.iter().flat_map(|part| &part.1).cloned().collect();
        let mismatches: Vec<_> = parts.iter().flat_map(|part| &part.2).cloned().collect();
        let count =
            format!("{tool}: {} files, {with_id} with an id, {} unlike", paths.len(), mismatches.len());
        eprintln!("{count}, {} exceptions\n{}", exceptions.len(), exceptions.join("\n"));
        assert!(mismatches.is_empty(), "{count}:\n{}", mismatches.join("\n"));
    }
}

/// The number of files with an id, the exceptions, the mismatches.
fn compare(tool: &str, prefix: &str, paths: &[PathBuf]) -> (usize, Vec<String>, Vec<String>) {
    let (mut with_id, mut exceptions, mut mismatches) = (0, Vec::new(), Vec::new());
    for path in paths {
        let wanted = first_id(tool, prefix, path);
        with_id += usize::from(wanted.is_some());
        let got = build_id(path);
        if got.is_ok_and(|id| id.map(|id| id.to_string()) == wanted) {
            continue;
        }
        let told = format!("{}: {tool} {wanted:?}, we {got:?}", path.display());
        match exception(got, wanted.as_deref()) {
            Some(reason) => exceptions.push(format!("{told} ({reason})")),
            None => mismatches.push(told),
        }
    }
    (with_id, exceptions, mismatches)
}

#[test]
fn this_program_is_read_alike_by_path_descriptor_and_slice() {
    let path = "/proc/self/exe";
    let by_path = build_id(path).expect("an ELF file");
    assert_eq!(build_id_of(File::open(path).unwrap()), Ok(by_path));
    assert_eq!(build_id_in(&fs::read(path).unwrap()), Ok(by_path));
    let identity = ElfReader::new().identity(&File::open(path).unwrap()).unwrap();
    assert!(identity.cost.preads <= 4, "{:?}", identity.cost);
}

#[test]
fn the_running_kernel_has_an_id() {
    let notes = match fs::read("/sys/kernel/notes") {
        Ok(notes) => notes,
        Err(error) => {
            skip(&format!("/sys/kernel/notes: {error}"));
            return;
        }
    };
    let id = build_id_in_notes(&notes, Endian::NATIVE).expect("notes of the kernel");
    assert_eq!(id.is_some(), notes.windows(4).any(|window| window == b"GNU\0"), "{id:?}");
}
