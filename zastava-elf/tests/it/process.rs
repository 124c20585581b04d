//! Processes: the file that runs and not its path, one process and not its pid.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::skip::skip;
use tempfile::TempDir;
use zastava_elf::{Backing, ElfReader, Error, ErrorKind, FileVersion, Mapping, Process, Procfs, build_id};

/// A running copy of `cat`, which has echoed a line and waits for more.
struct Running {
    child: Child,
    program: PathBuf,
    _directory: TempDir,
}

impl Running {
    fn start() -> Self {
        Self::start_as("program")
    }

    fn start_as(name: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let program = directory.path().join(name);
        fs::copy("/bin/cat", &program).unwrap();
        let mut child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"ready\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, program, _directory: directory }
    }

    fn process(&self) -> Process {
        Process::open(self.child.id()).expect("it runs")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn id_of_executable(process: &Process) -> Option<zastava_elf::BuildId> {
    ElfReader::new().identity(&process.executable().expect("the program")).expect("an ELF file").build_id
}

#[test]
fn a_deleted_and_a_replaced_program_are_still_read() {
    let running = Running::start();
    let process = running.process();
    let wanted = build_id("/bin/cat").unwrap();
    assert!(wanted.is_some());
    assert_eq!(id_of_executable(&process), wanted);
    fs::remove_file(&running.program).unwrap();
    assert_eq!(id_of_executable(&process), wanted);
    fs::copy("/bin/true", &running.program).unwrap();
    assert_ne!(build_id(&running.program).unwrap(), wanted);
    assert_eq!(id_of_executable(&process), wanted);
}

#[test]
fn a_mapped_file_is_read_after_it_was_deleted() {
    let running = Running::start();
    let process = running.process();
    fs::remove_file(&running.program).unwrap();
    let mappings = process.mappings().expect("a map");
    let is_program = |mapping: &&Mapping| {
        mapping.file().is_some_and(|file| file.path.strip_deleted() == Some(&running.program))
    };
    let program = mappings.iter().find(is_program).expect("the program is mapped");
    let file = match process.open_mapping(program.addresses.clone()) {
        Err(error) if error.kind() == ErrorKind::Io => {
            skip(&format!("mapped files cannot be opened here: {error}"));
            return;
        }
        result => result.expect("the file"),
    };
    assert_eq!(file.version().inode, program.file().unwrap().inode);
    let identity = ElfReader::new().identity(&file).unwrap();
    assert_eq!(identity.build_id, build_id("/bin/cat").unwrap());
    let beside = program.addresses.start + 1..program.addresses.end;
    assert_eq!(process.open_mapping(beside).map(drop).map_err(|error| error.kind()), Err(ErrorKind::Io));
}

#[test]
fn a_mapped_file_may_have_any_name() {
    for name in ["two words ", "a\nb 00400000-0 r-xp", "living (deleted)"] {
        let running = Running::start_as(name);
        let version = FileVersion::of(fs::File::open(&running.program).unwrap()).unwrap();
        assert_eq!(running.process().executable().expect("the program").version(), version);
        let mappings = running.process().mappings().expect("a map");
        let files = || mappings.iter().filter_map(|mapping| Some((mapping, mapping.file()?)));
        assert!(
            files().any(|(mapping, file)| {
                mapping.is_executable && file.path.as_path() == running.program && file.inode == version.inode
            }),
            "{mappings:?}"
        );
        assert!(files().all(|(_, file)| file.path.as_path().is_absolute()));
        assert!(mappings.iter().any(|mapping| mapping.backing == Backing::Special("[heap]".into())));
    }
}

#[test]
fn a_process_that_ended_is_not_another_one() {
    let mut running = Running::start();
    let process = running.process();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(matches!(process.executable(), Err(Error::Io { .. })));
    assert!(matches!(process.mappings(), Err(Error::Io { .. })));
    assert!(matches!(process.root(), Err(Error::Io { .. })));
    assert!(matches!(process.read("stat", 64), Err(Error::Io { .. })));
    assert!(matches!(process.link("exe"), Err(Error::Io { .. })));
}

#[test]
fn files_are_found_in_the_root_of_a_process() {
    let root = Process::current().unwrap().root().unwrap();
    let file = root.open_regular("/bin/cat").expect("this process has a cat");
    assert_eq!(file.version(), FileVersion::of(fs::File::open("/bin/cat").unwrap()).unwrap());
    let magic = root.open_regular("/proc/self/exe").map(drop);
    assert_eq!(magic.map_err(|error| error.kind()), Err(ErrorKind::Io), "magic links are refused");
}

#[test]
fn a_version_changes_with_the_content() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let version = |path: &Path| FileVersion::of(fs::File::open(path).unwrap()).unwrap();
    fs::write(&path, "one").unwrap();
    let first = version(&path);
    assert_eq!(first, version(&path));
    fs::write(&path, "three").unwrap();
    assert_ne!(first, version(&path));
    fs::rename(&path, directory.path().join("other")).unwrap();
    fs::write(&path, "three").unwrap();
    assert_ne!(version(&path).inode, version(&directory.path().join("other")).inode);
}

#[test]
fn a_process_is_read_below_any_path_of_a_procfs() {
    let directory = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/proc", directory.path().join("host")).unwrap();
    let procfs = Procfs::open(directory.path().join("host")).expect("a procfs");
    assert!(procfs.read("uptime", 64).expect("readable").contains(&b'.'));
    let own = std::process::id();
    assert_eq!(procfs.link("self").expect("a link").as_path(), Path::new(&own.to_string()));
    let process = procfs.process(own).expect("this process");
    assert_eq!(process.read("stat", 4).expect("readable").len(), 4, "no more than asked for");
    assert!(process.read("task", 4).is_err(), "a directory is no file");
    let link = process.link("exe").expect("a link");
    assert_eq!(link.as_path(), std::env::current_exe().unwrap());
    let missing = std::io::Error::from(procfs.process(u32::MAX).map(drop).unwrap_err());
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn there_is_no_process_without_a_pid() {
    assert!(matches!(Process::open(0), Err(Error::Io { .. })));
    assert!(matches!(Process::open(u32::MAX), Err(Error::Io { .. })));
}

/// If the kernel gives an id, the file has the same.
#[cfg(feature = "procmap-query")]
#[test]
fn the_kernel_s_id_of_a_mapping_is_that_of_its_file() {
    let mut compared = 0;
    for pid in
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
    {
        // Skips processes of others and those that end meanwhile.
        let Ok(process) = Process::open(pid) else { continue };
        let Ok(mappings) = process.mappings() else { continue };
        for mapping in mappings.iter().filter(|mapping| mapping.is_executable) {
            let Ok(Some(id)) = process.kernel_build_id(mapping.addresses.start) else { continue };
            let Ok(file) = process.open_mapping(mapping.addresses.clone()) else { continue };
            assert_eq!(
                ElfReader::new().identity(&file).unwrap().build_id,
                Some(id),
                "{}",
                mapping.file().unwrap().path.as_path().display()
            );
            compared += 1;
        }
    }
    if compared == 0 {
        skip("PROCMAP_QUERY needs Linux 6.11, and map_files its capability");
    }
    let process = Process::current().unwrap();
    assert!(matches!(process.kernel_build_id(0), Ok(None) | Err(Error::Io { .. })));
}
