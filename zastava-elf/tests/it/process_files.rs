//! Files of a process: what the kernel's text leads to is checked, and the text is not believed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zastava_elf::{Error, ErrorKind, FileVersion, Mapping, OpenedFile, Process, build_id_of};

use crate::image::{Image, SHAPES};
use crate::stage::{Stage, step};

/// A page of an ELF file with this build-id.
fn library(id: &[u8]) -> Vec<u8> {
    let mut bytes = Image::default().note_segment(SHAPES[0].gnu(id)).bytes();
    bytes.resize(4096, 0);
    bytes
}

fn write(path: impl AsRef<Path>, id: &[u8]) -> FileVersion {
    fs::write(&path, library(id)).unwrap();
    FileVersion::of(fs::File::open(path).unwrap()).unwrap()
}

/// The mappings of code whose inode this is.
fn mapped(process: &Process, inode: u64) -> Vec<Mapping> {
    let mappings = process.mappings().expect("mappings").into_iter();
    let is_it = |mapping: &Mapping| mapping.file().is_some_and(|file| file.inode == inode);
    mappings.filter(|mapping| mapping.is_executable && is_it(mapping)).collect()
}

fn open(process: &Process, inode: u64) -> Result<OpenedFile, Error> {
    let [mapping] = &mapped(process, inode)[..] else { panic!("it is mapped once") };
    process.files().expect("a root").open(mapping)
}

/// `None` is a file that no path leads to; only the capability to open mapped files opens it.
#[track_caller]
fn check(opened: Result<OpenedFile, Error>, version: FileVersion, wanted: Option<&Path>) {
    match (opened, wanted) {
        (Ok(opened), _) => {
            assert_eq!(opened.path.as_deref(), wanted);
            let identity = |version: FileVersion| (version.device, version.inode, version.size);
            assert_eq!(identity(opened.file.version()), identity(version));
        }
        (Err(error), None) => assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Replaced), "{error}"),
        (Err(error), Some(path)) => panic!("{}: {error}", path.display()),
    }
}

const NAMES: [&[u8]; 14] = [
    b"lib.so",
    b" two  words ",
    b"lib.so (deleted)",
    b"lib.so (deleted) (deleted)",
    b"lib (deleted).so",
    b" (deleted)",
    b"two\nlines.so",
    b"literal\\012.so",
    b"literal\\012.so (deleted)",
    b"two\nlines.so (deleted)",
    b"\\\\011\\x",
    b"\xff\xfe.so",
    b"memfd:jit (deleted)",
    b"SYSV00000000 (deleted)",
];

#[test]
fn a_living_file_is_found_whatever_it_is_called() {
    let directory = TempDir::new().unwrap();
    for name in NAMES {
        let path = directory.path().join(OsStr::from_bytes(name));
        let version = write(&path, b"right id");
        // Beside it lies what a misread name would lead to.
        let decoys: Vec<PathBuf> = [
            name.strip_suffix(b" (deleted)").map(<[u8]>::to_vec),
            name.windows(4)
                .position(|window| window == b"\\012")
                .map(|at| [&name[..at], b"\n", &name[at + 4..]].concat()),
        ]
        .into_iter()
        .flatten()
        .filter(|decoy| !decoy.is_empty())
        .map(|decoy| directory.path().join(OsStr::from_bytes(&decoy)))
        .collect();
        decoys.iter().for_each(|decoy| fs::write(decoy, library(b"decoy id")).unwrap());
        let Some(stage) = Stage::start([step("map:", &path)]) else { return };
        let opened = open(&stage.process(), version.inode);
        check(opened, version, Some(&path));
        let [mapping] = &mapped(&stage.process(), version.inode)[..] else { panic!("it is mapped once") };
        let shown = &mapping.file().unwrap().path;
        assert!(shown.readings().any(|reading| reading == path), "{shown:?}");
        fs::remove_file(&path).unwrap();
        decoys.iter().for_each(|decoy| fs::remove_file(decoy).unwrap());
    }
}

#[test]
fn a_file_that_is_gone_is_not_taken_for_another() {
    /// What happens, to a file of which name, and how.
    type Case = (&'static str, &'static str, fn(&Path));
    let cases: [Case; 6] = [
        ("deleted", "lib.so", |path| fs::remove_file(path).unwrap()),
        ("deleted beside another", "lib.so (deleted)", |path| {
            write(path.with_file_name("lib.so"), b"decoy id");
            fs::remove_file(path).unwrap();
        }),
        ("replaced", "lib.so", |path| {
            write(path.with_file_name("new"), b"decoy id");
            fs::rename(path.with_file_name("new"), path).unwrap();
        }),
        ("replaced by one that is called deleted", "lib.so", |path| {
            write(path.with_file_name("lib.so (deleted)"), b"decoy id");
            fs::remove_file(path).unwrap();
        }),
        ("replaced by a directory", "lib.so", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("replaced by a dangling link", "lib.so", |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("nowhere", path).unwrap();
        }),
    ];
    for (name, file, change) in cases {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(file);
        let version = write(&path, b"right id");
        let Some(stage) = Stage::start([step("map:", &path)]) else { return };
        change(&path);
        let opened = open(&stage.process(), version.inode);
        if let Ok(opened) = &opened {
            let id = build_id_of(&opened.file).unwrap().expect(name);
            assert_eq!(id.as_bytes(), b"right id", "{name}");
        }
        check(opened, version, None);
    }
}

#[test]
fn a_file_that_has_its_name_again_is_found() {
    let directory = TempDir::new().unwrap();
    let (path, other) = (directory.path().join("lib.so"), directory.path().join("other"));
    let version = write(&path, b"right id");
    let Some(stage) = Stage::start([step("map:", &path)]) else { return };
    fs::hard_link(&path, &other).unwrap();
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    check(open(&stage.process(), version.inode), version, Some(&path));
    // The kernel's text follows a renamed file.
    let Some(stage) = Stage::start([step("map:", &path)]) else { return };
    let moved = directory.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    check(open(&stage.process(), version.inode), version, Some(&moved));
}

#[test]
fn a_program_is_where_its_name_leads_to_it() {
    let directory = TempDir::new().unwrap();
    let Some(program) = crate::stage::program() else { return };
    for (name, is_removed) in
        [("app", false), ("app (deleted)", false), ("app", true), ("app (deleted)", true)]
    {
        let path = directory.path().join(name);
        fs::copy(program, &path).unwrap();
        let Some(stage) = Stage::start_in_place(&path) else { return };
        let (process, files) = (stage.process(), stage.process().files().expect("a root"));
        if is_removed {
            fs::remove_file(&path).unwrap();
        }
        let (shown, executable) = (process.link("exe").unwrap(), process.executable().expect("the program"));
        assert_eq!(executable.has_name(), !is_removed, "{name}");
        let FileVersion { device, inode, .. } = executable.version();
        assert_eq!(files.path_to(&shown, device, inode), (!is_removed).then_some(path.as_path()), "{name}");
        fs::remove_file(&path).ok();
    }
}

/// Before it changed its root a process maps what is outside, and afterwards what is inside.
#[test]
fn a_process_in_a_changed_root_has_its_files() {
    let directory = TempDir::new().unwrap();
    let jail = directory.path().join("jail");
    fs::create_dir_all(jail.join("lib")).unwrap();
    let (before, inside) = (directory.path().join("before.so"), jail.join("lib/inside.so"));
    let (before_version, inside_version) = (write(&before, b"before"), write(&inside, b"inside"));
    // What the path of the outer file would lead to below the root.
    let decoy = jail.join(before.strip_prefix("/").unwrap());
    fs::create_dir_all(decoy.parent().unwrap()).unwrap();
    write(decoy, b"decoy id");
    let steps = [step("map:", &before), step("chroot:", &jail), OsString::from("map:/lib/inside.so")];
    let Some(stage) = Stage::start(steps) else { return };
    check(open(&stage.process(), before_version.inode), before_version, Some(&before));
    check(open(&stage.process(), inside_version.inode), inside_version, Some(&inside));
}

/// The kernel numbers inodes for each file system: the first file of any tmpfs has the same.
#[test]
fn a_library_with_its_program_s_inode_is_another_file() {
    let directory = TempDir::new().unwrap();
    write(directory.path().join("lib.so"), b"right id");
    let script = "mkdir a b; mount -t tmpfs a a; mount -t tmpfs b b; cp \"$1\" a/app; cp lib.so b/lib.so
        exec a/app map:$PWD/b/lib.so";
    let Some(stage) = Stage::start_in_mounts(directory.path(), script) else { return };
    let process = stage.process();
    let program = process.executable().expect("the program");
    let mappings = mapped(&process, program.version().inode);
    let [app, lib] = ["/app", "/lib.so"].map(|ending| {
        let ends = |mapping: &&Mapping| mapping.file().unwrap().path.as_path().ends_with(&ending[1..]);
        mappings.iter().find(ends).expect("both have the inode")
    });
    assert!(program.is(app.file().unwrap()));
    assert!(!program.is(lib.file().unwrap()), "{lib:?}");
    let opened = process.files().expect("a root").open(lib).expect("the library");
    assert_eq!(build_id_of(&opened.file).unwrap().expect("an id").as_bytes(), b"right id");
    assert!(opened.file.is(lib.file().unwrap()) && !opened.file.is(app.file().unwrap()));
}

/// On an overlay the inode alone decides. A link that replaces a library must not lead to a file there.
#[test]
fn a_link_in_the_place_of_a_library_leads_to_no_other_file() {
    let directory = TempDir::new().unwrap();
    write(directory.path().join("lib.so"), b"right id");
    write(directory.path().join("decoy.so"), b"decoy id");
    let script = "mkdir m own; mount -t tmpfs m m; mkdir m/low m/up m/work m/over; cp decoy.so m/low/lib.so
        mount -t overlay over -o lowerdir=m/low,upperdir=m/up,workdir=m/work m/over; mount -t tmpfs own own
        wanted=$(stat -c %i m/over/lib.so)
        for _ in $(seq 64); do
            cp lib.so own/lib.so; [ \"$(stat -c %i own/lib.so)\" = \"$wanted\" ] && break; rm own/lib.so
        done
        exec \"$1\" map:$PWD/own/lib.so";
    let Some(stage) = Stage::start_in_mounts(directory.path(), script) else { return };
    let process = stage.process();
    let mappings = process.mappings().expect("mappings");
    let lib = mappings
        .iter()
        .find(|mapping| mapping.file().is_some_and(|file| file.path.as_path().ends_with("own/lib.so")));
    let lib = lib.expect("is mapped");
    let root = PathBuf::from(format!("/proc/{}/root", stage.pid()));
    let below = |path: &str| root.join(directory.path().join(path).strip_prefix("/").unwrap());
    fs::remove_file(below("own/lib.so")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("m/over/lib.so"), below("own/lib.so")).unwrap();
    assert_eq!(fs::metadata(below("m/over/lib.so")).unwrap().ino(), lib.file().unwrap().inode);
    // It can be opened by its address, with the capability.
    match process.files().expect("a root").open(lib) {
        Ok(opened) => {
            assert_eq!(build_id_of(&opened.file).unwrap().expect("an id").as_bytes(), b"right id");
            assert_eq!(opened.path, None);
        }
        Err(error) => assert!(matches!(error, Error::Io { .. } | Error::Replaced), "{error:?}"),
    }
}

/// Here `maps` shows one device for all files, and `fstat` one for each layer.
#[test]
fn files_of_an_overlay_over_two_file_systems_are_found() {
    let directory = TempDir::new().unwrap();
    write(directory.path().join("lib.so"), b"right id");
    let script =
        "mkdir m; mount -t tmpfs m m; mkdir m/low m/up m/work m/other m/over; mount -t tmpfs low m/low
        cp \"$1\" m/low/app; cp lib.so m/low/low.so; cp lib.so m/up/up.so
        mount -t overlay over -o lowerdir=m/low,upperdir=m/up,workdir=m/work m/over
        exec m/over/app map:$PWD/m/over/low.so map:$PWD/m/over/up.so memfd:jit";
    let Some(stage) = Stage::start_in_mounts(directory.path(), script) else { return };
    let (process, mut found) = (stage.process(), 0);
    let (program, files) = (process.executable().expect("the program"), process.files().expect("a root"));
    let mappings = process.mappings().expect("mappings");
    let mut all = mappings.iter().filter_map(Mapping::file);
    let memory = all.find(|file| file.path.as_path().starts_with("/memfd:jit (deleted)")).expect("is mapped");
    for mapping in &mappings {
        let Some(mapped) = mapping.file().filter(|_| mapping.is_executable) else { continue };
        let path = directory.path().join("m/over");
        let Ok(name) = mapped.path.as_path().strip_prefix(path) else { continue };
        let opened = files.open(mapping).expect("a file");
        assert_eq!(opened.path.as_deref(), Some(mapped.path.as_path()));
        assert!(opened.file.is(mapped));
        // A memfd can get its number.
        let line = format!("0-1 r-xp 0 {} {} /memfd:jit (deleted)", memory.device, mapped.inode);
        assert!(!opened.file.is(Mapping::parse(line.as_bytes()).unwrap().file().unwrap()), "{line}");
        assert_eq!(program.is(mapped), name == Path::new("app"), "{name:?}");
        found += 1;
    }
    assert_eq!(found, 3);
}

#[test]
fn memory_is_no_file_and_a_memfd_is_one() {
    let Some(stage) = Stage::start(["zero", "shm", "memfd:jit", "memfd:../../etc/passwd"]) else { return };
    let process = stage.process();
    let mut shown: Vec<(String, bool)> = Vec::new();
    for mapping in process.mappings().expect("mappings") {
        let Some(mapped) = mapping.file().filter(|_| mapping.is_executable) else { continue };
        let name = mapped.path.as_path().to_string_lossy().into_owned();
        if mapping.is_shared {
            // `Ok` is the memfd itself, by its address.
            let opened = process.files().expect("a root").open(&mapping);
            assert!(
                opened.as_ref().is_ok_and(|opened| opened.path.is_none()) || opened.is_err(),
                "{opened:?}"
            );
            shown.push((name, mapped.is_memory()));
        } else {
            assert!(!mapped.is_memory(), "{mapped:?}");
        }
    }
    assert_eq!(shown.len(), 4, "{shown:?}");
    let of = |start: &str| shown.iter().find(|(name, _)| name.starts_with(start)).map(|(_, memory)| *memory);
    assert_eq!(of("/SYSV"), Some(true));
    assert_eq!(of("/dev/zero"), Some(true));
    assert_eq!(of("/memfd:jit"), Some(false));
    assert_eq!(of("/memfd:.."), Some(false));
    // Files that are called so.
    for name in ["/dev/zero (deleted)", "/SYSV00000000 (deleted)", "/anon_hugepage (deleted)"] {
        let line = format!("0-1 r-xp 0 fe:00 7 {name}");
        assert!(!Mapping::parse(line.as_bytes()).unwrap().file().unwrap().is_memory(), "{name}");
    }
}
