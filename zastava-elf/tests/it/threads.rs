//! Processes whose first thread has ended while others run.

use std::fs;
use std::path::Path;

use zastava_elf::{Backing, ElfReader, ErrorKind, FileVersion, build_id};

use crate::skip::skip;
use crate::stage::{Stage, program};

/// All that is read of a process is read of a thread that runs.
#[test]
fn a_process_goes_on_without_its_first_thread() {
    let Some(stage) = Stage::start(["end-main"]) else { return };
    let process = stage.process();
    stage.wait_for_end_of_main();
    let program = program().unwrap();

    let executable = process.executable().expect("the program");
    assert_eq!(executable.version(), FileVersion::of(fs::File::open(program).unwrap()).unwrap());
    assert_eq!(ElfReader::new().identity(&executable).unwrap().build_id, build_id(program).unwrap());
    assert_eq!(process.link("exe").expect("a link").as_path(), program);
    assert_eq!(process.link("root").expect("a link").as_path(), Path::new("/"));
    process.root().expect("a root").open_regular("/bin/sh").expect("a file in it");
    let command_line = process.read("cmdline", 4096).expect("arguments");
    assert!(command_line.ends_with(b"\0end-main\0"), "{command_line:?}");
    // These are the first thread's own.
    assert!(process.read("stat", 4096).expect("a line").windows(4).any(|window| window == b") Z "));

    let mappings = process.mappings().expect("mappings");
    assert!(mappings.iter().any(|mapping| mapping.backing == Backing::Special("[vdso]".into())));
    let libc = mappings.iter().find(|mapping| {
        let path = mapping.file().map(|file| file.path.as_path().to_string_lossy());
        path.is_some_and(|path| path.contains("libc.so"))
    });
    let libc = libc.expect("it is linked with it");
    let opened = process.files().expect("a root").open(libc).expect("the library");
    assert!(opened.path.is_some() && opened.file.is(libc.file().unwrap()));
    match process.open_mapping(libc.addresses.clone()) {
        Err(error) if error.kind() == ErrorKind::Io => {
            skip(&format!("mapped files cannot be opened: {error}"))
        }
        file => assert_eq!(file.expect("the library").version(), opened.file.version()),
    }

    let thread = process.living_thread().expect("one runs");
    assert_ne!(thread.read("cgroup", 4096).expect("lines"), b"");
    assert_eq!(
        thread.read("cgroup", 4096).expect("lines"),
        fs::read("/proc/self/cgroup").expect("the same cgroup as this process")
    );
    assert!(thread.living_thread().is_none(), "it runs itself");
}

#[test]
fn a_process_that_ended_has_no_living_thread() {
    for steps in [&["end-main"][..], &[]] {
        let Some(mut stage) = Stage::start(steps) else { return };
        let process = stage.process();
        if steps.is_empty() {
            assert!(process.living_thread().is_none(), "the first one runs");
        } else {
            stage.wait_for_end_of_main();
        }
        stage.end();
        assert!(process.living_thread().is_none());
        assert_eq!(process.executable().map(drop).map_err(|error| error.kind()), Err(ErrorKind::Io));
        assert_eq!(process.mappings().expect("no line"), []);
        assert!(process.files().is_err() && process.root().is_err());
    }
}
