//! Facts of processes that are not as they look in `/proc`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use zastava_core::contract::{EventKind, Evidence, LoadedLibrary, RuntimeEvent};
use zastava_core::vocabulary::Signal;
use zastava_observer::{CollectOptions, ProcTree, ProcessFacts, ProcessInspector, ProcessTarget};

use crate::prepared::{Prepared, Program, step};
use crate::support::{Process, Running, Stage, sleep_path, within};

fn inspect(process: &Prepared) -> ProcessFacts {
    let tree = ProcTree::open("/proc").expect("this system has one");
    let target = ProcessTarget { pid: process.pid(), ..ProcessTarget::default() };
    ProcessInspector::new(tree, CollectOptions::default()).inspect(&target).expect("can be read")
}

/// The library at this path has its facts.
#[track_caller]
fn check_library<'f>(facts: &'f ProcessFacts, path: &str) -> &'f LoadedLibrary {
    let found: Vec<_> = facts.libraries.iter().filter(|library| library.path == path).collect();
    let [library] = found[..] else { panic!("{path} is not told once: {:?}", facts.libraries) };
    assert!(library.sha256.is_some() && library.build_id.is_some(), "{library:?}, {:?}", facts.evidence);
    library
}

/// A copy of the program, which is an ELF file like any other, in another file.
fn copy(program: &Program, name: impl AsRef<OsStr>) -> std::path::PathBuf {
    let path = program.directory.path().join(name.as_ref());
    fs::create_dir_all(path.parent().expect("a directory")).expect("can be made");
    fs::copy(&program.path, &path).expect("can be copied");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_without_its_first_thread_goes_on() {
    let Some(program) = Program::build(&[]) else { return };
    let stage = Stage::start().await;
    let Some(mut process) = Prepared::start(&program.path, &["end-main".into()]) else { return };
    process.wait_for_end_of_main();
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    let start = running.event(EventKind::ContainerStart, process.pid()).await;
    let facts = start.process.as_ref().expect("has a process");
    assert_eq!(facts.entrypoint[1..], ["end-main"]);
    assert!(facts.build_id.is_some(), "{:?}", start.evidence);
    assert!(
        start.loaded_libs.iter().any(|library| library.path.contains("libc.so") && library.sha256.is_some())
    );
    // Two more scans see it, and no stop is among what they say.
    for _ in 0..2 {
        let other = Process::sleep(sleep_path());
        let is_of_either = |event: &RuntimeEvent| {
            event.process.as_ref().is_some_and(|found| [process.pid(), other.pid()].contains(&found.pid))
        };
        let next = loop {
            let next = within(running.events.next()).await.expect("the observer runs");
            if is_of_either(&next) {
                break next;
            }
        };
        assert_eq!(next.process.as_ref().map(|found| found.pid), Some(other.pid()), "{next:?}");
    }
    process.end();
    running.event(EventKind::ContainerStop, process.pid()).await;
    running.end().await;
}

#[test]
fn a_first_thread_that_ended_hides_no_fact() {
    let Some(program) = Program::build(&[]) else { return };
    let library = copy(&program, "lib.so");
    let steps = [step("map:", &library), "end-main".into()];
    let Some(process) = Prepared::start(&program.path, &steps) else { return };
    process.wait_for_end_of_main();
    let facts = inspect(&process);
    assert_eq!(facts.arguments.last().map(String::as_str), Some("end-main"));
    assert!(facts.build_id.is_some(), "{facts:?}");
    check_library(&facts, &library.to_string_lossy());
    assert!(
        facts.libraries.iter().all(|library| library.path != program.path.to_string_lossy()),
        "{facts:?}"
    );
    let exe = facts.evidence.iter().find(|evidence| evidence.signal == Signal::ProcExe).expect("is evidence");
    assert_eq!(exe.value, program.path.to_string_lossy());
}

#[test]
fn a_program_is_deleted_if_no_path_leads_to_it() {
    let Some(program) = Program::build(&[]) else { return };
    for (name, is_removed, wanted) in [
        ("api", false, Signal::ProcExe),
        ("api (deleted)", false, Signal::ProcExe),
        ("api (deleted) (deleted)", false, Signal::ProcExe),
        (" (deleted)", false, Signal::ProcExe),
        ("api", true, Signal::ProcExeDeleted),
        ("api (deleted)", true, Signal::ProcExeDeleted),
    ] {
        let path = copy(&program, name);
        // A misread name leads to this one.
        let decoy = path.with_file_name("api");
        let Some(process) = Prepared::start(&path, &[]) else { return };
        if is_removed {
            fs::remove_file(&path).expect("can be removed");
        } else if decoy != path {
            fs::copy("/bin/true", &decoy).expect("can be copied");
        }
        let facts = inspect(&process);
        let said: Vec<_> = facts
            .evidence
            .iter()
            .filter(|evidence| {
                evidence.signal == Signal::ProcExe || evidence.signal == Signal::ProcExeDeleted
            })
            .map(|evidence| (evidence.signal.clone(), evidence.value.as_str()))
            .collect();
        assert_eq!(said, [(wanted.into(), &*path.to_string_lossy())], "{name}, removed: {is_removed}");
        assert!(facts.build_id.is_some(), "{name}: {facts:?}");
        fs::remove_file(&path).ok();
        fs::remove_file(&decoy).ok();
    }
}

#[test]
fn a_library_has_its_facts_whatever_it_is_called() {
    let Some(program) = Program::build(&[]) else { return };
    let names: [(&[u8], &str); 12] = [
        (b"lib.so", "lib.so"),
        (b"lib.so (deleted)", "lib.so (deleted)"),
        (b"lib.so (deleted) (deleted)", "lib.so (deleted) (deleted)"),
        (b"lib (deleted).so", "lib (deleted).so"),
        (b" two  words ", " two  words "),
        (b"two\nlines.so", "two\nlines.so"),
        (b"literal\\012.so", "literal\\012.so"),
        (b"literal\\012.so (deleted)", "literal\\012.so (deleted)"),
        (b"\xff.so", "\\xff.so"),
        (b"\xfe.so", "\\xfe.so"),
        (b"memfd:jit (deleted)", "memfd:jit (deleted)"),
        (b"SYSV00000000 (deleted)", "SYSV00000000 (deleted)"),
    ];
    let steps: Vec<OsString> =
        names.iter().map(|(name, _)| step("map:", &copy(&program, OsStr::from_bytes(name)))).collect();
    let Some(process) = Prepared::start(&program.path, &steps) else { return };
    let facts = inspect(&process);
    for (_, shown) in names {
        check_library(&facts, &format!("{}/{shown}", program.directory.path().display()));
    }
}

#[test]
fn a_library_that_is_gone_is_not_taken_for_another() {
    let Some(program) = Program::build(&[]) else { return };
    let library = copy(&program, "lib.so (deleted)");
    let inode = inode(&library);
    let Some(process) = Prepared::start(&program.path, &[step("map:", &library)]) else { return };
    // Once the library is gone, its path without the ending leads to another file.
    fs::remove_file(&library).expect("can be removed");
    fs::copy("/bin/true", library.with_file_name("lib.so")).expect("can be copied");
    let facts = inspect(&process);
    let found = facts.libraries.iter().find(|library| library.inode == Some(inode)).expect("is told");
    assert_eq!(found.path, library.to_string_lossy());
    // With the capability to open mapped files it is read by its address.
    match &found.build_id {
        Some(id) => assert_eq!(facts.build_id.as_ref(), Some(id)),
        None => {
            assert!(facts.evidence.iter().any(|evidence| evidence.value.ends_with(": deleted")), "{facts:?}")
        }
    }
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).expect("is there").ino()
}

#[test]
fn libraries_of_a_process_in_a_changed_root_have_their_facts() {
    let Some(program) = Program::build(&[]) else { return };
    let (before, inside) = (copy(&program, "before.so"), copy(&program, "jail/lib/inside.so"));
    let jail = program.directory.path().join("jail");
    let steps = [step("map:", &before), step("chroot:", &jail), "map:/lib/inside.so".into()];
    let Some(process) = Prepared::start(&program.path, &steps) else { return };
    let facts = inspect(&process);
    check_library(&facts, &before.to_string_lossy());
    check_library(&facts, &inside.to_string_lossy());
    assert!(facts.libraries.iter().all(|library| library.sha256.is_some()), "{facts:?}");
}

/// The first file of any tmpfs has the same inode.
#[test]
fn a_library_with_its_program_s_inode_is_told() {
    let Some(program) = Program::build(&[]) else { return };
    let script = "mkdir a b; mount -t tmpfs a a; mount -t tmpfs b b; cp \"$1\" a/app; cp \"$1\" b/lib.so
        exec a/app map:$PWD/b/lib.so";
    let Some(process) = Prepared::start_in_mounts(&program, script) else { return };
    let facts = inspect(&process);
    check_library(&facts, &program.directory.path().join("b/lib.so").to_string_lossy());
    assert!(facts.libraries.iter().all(|library| !library.path.ends_with("/a/app")), "{facts:?}");
}

/// Here a file's device in `maps` is another than the one that `fstat` returns.
#[test]
fn the_program_and_its_libraries_may_be_on_an_overlay() {
    let Some(program) = Program::build(&[]) else { return };
    let script = "mkdir m; mount -t tmpfs m m; mkdir m/low m/up m/work m/over; mount -t tmpfs low m/low
        cp \"$1\" m/low/app; cp \"$1\" m/low/low.so; cp \"$1\" m/up/up.so
        mount -t overlay over -o lowerdir=m/low,upperdir=m/up,workdir=m/work m/over
        exec m/over/app map:$PWD/m/over/low.so map:$PWD/m/over/up.so";
    let Some(process) = Prepared::start_in_mounts(&program, script) else { return };
    let facts = inspect(&process);
    for name in ["low.so", "up.so"] {
        check_library(&facts, &program.directory.path().join("m/over").join(name).to_string_lossy());
    }
    assert!(facts.libraries.iter().all(|library| !library.path.ends_with("/app")), "{facts:?}");
}

#[test]
fn memory_is_no_library_and_a_memfd_is_one() {
    let Some(program) = Program::build(&[]) else { return };
    let steps = ["zero", "shm", "memfd:jit"].map(OsString::from);
    let Some(process) = Prepared::start(&program.path, &steps) else { return };
    let facts = inspect(&process);
    let paths: Vec<&str> = facts.libraries.iter().map(|library| library.path.as_str()).collect();
    assert!(paths.contains(&"/memfd:jit"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains("zero") || path.contains("SYSV")), "{paths:?}");
}

/// A workload that calls itself like the OCI runtime's own process is told with its facts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_does_not_hide_behind_the_name_of_an_oci_runtime() {
    let Some(program) = Program::build(&[]) else { return };
    let stage = Stage::start().await;
    let path = copy(&program, "runc");
    let Some(process) = Prepared::start_as(&path, "runc", &["init".into()]) else { return };
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    let start = running.event(EventKind::ContainerStart, process.pid()).await;
    let facts = start.process.as_ref().expect("has a process");
    assert_eq!(facts.entrypoint, ["runc", "init"]);
    assert!(facts.build_id.is_some() && !start.loaded_libs.is_empty(), "{:?}", start.evidence);
    let said =
        |evidence: &Evidence| evidence.signal == Signal::Proc && evidence.value.contains("OCI runtime");
    assert!(start.evidence.iter().any(said), "{:?}", start.evidence);
    running.end().await;
}

/// Two Go programs that Bazel built have the same build-id.
#[test]
fn a_build_id_that_programs_share_is_marked() {
    let shared = "0x498919aff001d8366249403a2544fba2d833084f";
    for (id, is_shared) in [(shared, true), ("0x00000000000000000000", true), ("0x0123456789abcdef", false)] {
        let Some(program) = Program::build(&[&format!("-Wl,--build-id={id}")]) else { return };
        let Some(process) = Prepared::start(&program.path, &[]) else { return };
        let facts = inspect(&process);
        assert_eq!(facts.build_id.as_deref(), id.strip_prefix("0x"));
        let is_marked = facts.evidence.iter().any(|evidence| evidence.value.starts_with("degenerate"));
        assert_eq!(is_marked, is_shared, "{facts:?}");
    }
}
