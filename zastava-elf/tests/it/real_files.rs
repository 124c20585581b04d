//! The files of this machine, against the tools that people compare with.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use zastava_elf::{BuildId, Endian, FdSource, Scanner, build_id, build_id_in, build_id_notes, build_id_of};

/// The first id that `readelf -n` prints, or `None` if it prints none. `Err` if the tool is missing.
fn readelf(path: &Path) -> std::io::Result<Option<BuildId>> {
    let output = Command::new("readelf").arg("-n").arg(path).env("LC_ALL", "C").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    Ok(id.map(|id| id.parse().expect("readelf prints hex")))
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// Where programs and libraries lie on Debian and its kin. What a machine lacks is not compared.
const DIRECTORIES: [&str; 4] =
    ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// Past the test runner's capture, so that it is seen although the test passes.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}

/// The ELF files in these directories, each once.
fn elf_files() -> BTreeSet<PathBuf> {
    let entries = DIRECTORIES.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let paths = entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok());
    paths.filter(|path| is_elf(path)).collect()
}

#[test]
fn every_program_has_the_id_that_readelf_prints() {
    match Command::new("readelf").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("readelf is not installed");
            return;
        }
        result => assert!(result.expect("readelf runs").status.success()),
    }
    let paths = elf_files();
    let mut with_id = 0;
    let mut mismatches = Vec::new();
    for path in &paths {
        let wanted = readelf(path).expect("readelf runs");
        with_id += usize::from(wanted.is_some());
        let got = build_id(path);
        if got != Ok(wanted) {
            mismatches.push(format!("{}: readelf {wanted:?}, we {got:?}", path.display()));
        }
    }
    assert!(
        mismatches.is_empty(),
        "of {} files, {with_id} with an id:\n{}",
        paths.len(),
        mismatches.join("\n")
    );
}

#[test]
fn this_program_is_read_alike_by_path_descriptor_and_slice() {
    let path = "/proc/self/exe";
    let by_path = build_id(path).expect("an ELF file");
    assert_eq!(build_id_of(File::open(path).unwrap()), Ok(by_path));
    assert_eq!(build_id_in(&fs::read(path).unwrap()), Ok(by_path));
    let identity = Scanner::new().scan(&FdSource(File::open(path).unwrap())).unwrap();
    assert!(identity.cost.preads <= 4, "{:?}", identity.cost);
}

#[test]
fn the_running_kernel_tells_its_id() {
    let notes = match fs::read("/sys/kernel/notes") {
        Ok(notes) => notes,
        Err(error) => {
            skip(&format!("/sys/kernel/notes: {error}"));
            return;
        }
    };
    let id = build_id_notes(&notes, Endian::NATIVE).expect("notes of the kernel");
    assert_eq!(id.is_some(), notes.windows(4).any(|window| window == b"GNU\0"), "{id:?}");
}
