//! Debug stores: a file counts if it has the id.
#![expect(clippy::print_stderr, reason = "the test says how many files it found")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::skip::skip;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use zastava_elf::{BuildId, DebugStore, Error, Lookup};

use crate::image::{Area, ID, PT_NOTE, SHAPES};

const OTHER: [u8; 8] = *b"otherid!";

fn id() -> BuildId {
    BuildId::try_from(ID.as_slice()).unwrap()
}

/// The path of the debug file of `ID` below `root`, whose directory is created.
fn debug_file(root: &Path) -> PathBuf {
    let path = root.join(id().debug_path().unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn elf(id: &[u8]) -> Vec<u8> {
    SHAPES[0].image().note_section(SHAPES[0].gnu(id)).bytes()
}

fn summary(lookup: Result<Lookup, Error>) -> String {
    match lookup {
        Ok(Lookup::Found(_)) => "found".into(),
        Ok(Lookup::Mismatch { got, .. }) => {
            format!("mismatch {}", got.map_or_else(|| "none".into(), |id| id.to_string()))
        }
        Ok(Lookup::Missing) => "missing".into(),
        Ok(_) => "new".into(),
        Err(error) => error.kind().to_string(),
    }
}

fn check(name: &str, prepare: impl FnOnce(&Path), wanted: &str, present: bool) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("debug");
    fs::create_dir(&root).unwrap();
    prepare(&root);
    let store = DebugStore::open([&root]).unwrap();
    assert_eq!(summary(store.find(&id())), wanted, "{name}");
    assert_eq!(store.contains(&id()).unwrap(), present, "{name}");
}

#[test]
fn each_candidate_is_judged_by_its_own_id() {
    let other = OTHER.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    check("empty store", |_| {}, "missing", false);
    check("right", |root| fs::write(debug_file(root), elf(&ID)).unwrap(), "found", true);
    check(
        "planted",
        |root| fs::write(debug_file(root), elf(&OTHER)).unwrap(),
        &format!("mismatch {other}"),
        true,
    );
    check(
        "without id",
        |root| fs::write(debug_file(root), SHAPES[0].image().bytes()).unwrap(),
        "mismatch none",
        true,
    );
    check("no ELF file", |root| fs::write(debug_file(root), "text").unwrap(), "not_elf", true);
    check("empty", |root| fs::write(debug_file(root), "").unwrap(), "not_elf", true);
    check("directory", |root| fs::create_dir(debug_file(root)).unwrap(), "not_regular", true);
    check("dangling", |root| symlink("nowhere", debug_file(root)).unwrap(), "missing", false);
    check("circle", |root| symlink(debug_file(root), debug_file(root)).unwrap(), "missing", false);
    check(
        "FIFO",
        |root| mknodat(CWD, debug_file(root), FileType::Fifo, Mode::RUSR, 0).unwrap(),
        "not_regular",
        true,
    );
    let link = |root: &Path| {
        fs::write(root.join("file"), elf(&ID)).unwrap();
        symlink("../../file", debug_file(root)).unwrap();
    };
    check("link inside", link, "found", true);
    let out = |root: &Path| {
        fs::write(root.parent().unwrap().join("secret"), elf(&ID)).unwrap();
        symlink("../../../secret", debug_file(root)).unwrap();
    };
    check("link out of the root", out, "missing", false);
    check(
        "link to this program",
        |root| symlink("/proc/self/exe", debug_file(root)).unwrap(),
        "missing",
        false,
    );
}

#[test]
fn sections_are_searched_before_stale_segments() {
    let stale = Area::new(PT_NOTE, 4, SHAPES[0].gnu(&OTHER));
    let image = SHAPES[0].image().segment(stale).note_section(SHAPES[0].gnu(&ID));
    check("stale segments", |root| fs::write(debug_file(root), image.bytes()).unwrap(), "found", true);
}

#[test]
fn a_later_root_may_have_what_an_earlier_one_has_not() {
    let [wrong, broken, right] = [0; 3].map(|_| TempDir::new().unwrap());
    fs::write(debug_file(wrong.path()), elf(&OTHER)).unwrap();
    fs::write(debug_file(broken.path()), "text").unwrap();
    fs::write(debug_file(right.path()), elf(&ID)).unwrap();
    let find = |roots: &[&TempDir]| {
        summary(DebugStore::open(roots.iter().map(|root| root.path())).unwrap().find(&id()))
    };
    assert_eq!(find(&[&broken, &wrong, &right]), "found");
    assert!(find(&[&broken, &wrong]).starts_with("mismatch"));
    assert_eq!(find(&[&broken]), "not_elf");
    assert_eq!(find(&[]), "missing");
}

#[test]
fn executables_have_a_link_of_their_own() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(id().executable_path().unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, elf(&ID)).unwrap();
    let store = DebugStore::open([directory.path()]).unwrap();
    assert_eq!(summary(store.find_executable(&id())), "found");
    assert_eq!(summary(store.find(&id())), "missing");
}

#[test]
fn an_id_of_one_byte_has_no_debug_file() {
    let directory = TempDir::new().unwrap();
    let store = DebugStore::open([directory.path()]).unwrap();
    let short = BuildId::try_from([7].as_slice()).unwrap();
    assert_eq!((summary(store.find(&short)), store.contains(&short).unwrap()), ("missing".into(), false));
}

#[test]
fn a_root_must_be_a_directory() {
    assert!(matches!(DebugStore::open(["/proc/self/exe"]), Err(Error::Io { .. })));
    assert!(matches!(DebugStore::open(["/nowhere/at/all"]), Err(Error::Io { .. })));
}

/// `ZASTAVA_ELF_DEBUG_ROOT` names another directory than the installed one.
#[test]
fn every_file_of_an_installed_tree_is_found_by_its_id() {
    let root =
        std::env::var_os("ZASTAVA_ELF_DEBUG_ROOT").map_or_else(|| "/usr/lib/debug".into(), PathBuf::from);
    let Ok(first) = fs::read_dir(root.join(".build-id")) else {
        skip(&format!("no .build-id below {}", root.display()));
        return;
    };
    let store = DebugStore::open([&root]).unwrap();
    let mut count = 0;
    for first in first.map(Result::unwrap) {
        for rest in fs::read_dir(first.path()).unwrap().map(Result::unwrap) {
            let (first, rest) = (first.file_name(), rest.file_name());
            let Some(rest) = rest.to_str().unwrap().strip_suffix(".debug") else { continue };
            let id: BuildId = format!("{}{rest}", first.to_str().unwrap()).parse().expect("named by its id");
            assert_eq!(summary(store.find(&id)), "found", "{id}");
            count += 1;
        }
    }
    eprintln!("{count} debug files below {}, each found by its id", root.display());
}
