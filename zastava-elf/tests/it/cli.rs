//! The program as an operator uses it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use zastava_elf::build_id;

use crate::image::{Area, ID, SHAPES, SHT_NOTE, SHT_PROGBITS};
use crate::stage::{Stage, step};

const HEX: &str = "0123456789abcdeffedcba987654321000112233";

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zastava-elf")).args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("UTF-8")
}

fn check(arguments: &[&str], status: i32, out: &[&str], err: &[&str]) -> Output {
    let output = run(arguments);
    for (wanted, got) in [(out, &output.stdout), (err, &output.stderr)] {
        for wanted in wanted {
            assert!(text(got).contains(wanted), "{arguments:?}: {wanted} is not in: {}", text(got));
        }
    }
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output.stderr));
    output
}

fn path(directory: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn elf() -> Vec<u8> {
    SHAPES[0].image().note_segment(SHAPES[0].gnu(&ID)).bytes()
}

#[test]
fn it_exits_like_grep() {
    let directory = TempDir::new().unwrap();
    let with = path(&directory, "with", &elf());
    let without = path(&directory, "without", &SHAPES[0].image().bytes());
    let other = path(&directory, "script", b"#!/bin/sh\n");
    check(&[&with], 0, &[HEX, "x86_64 shared", "/with"], &[]);
    check(&[&without], 1, &["-  ", "/without"], &[]);
    check(&[&with, &without], 0, &[HEX], &[]);
    check(&[&other], 2, &[], &["/script: not an ELF file"]);
    check(&[&with, &other], 2, &[HEX], &["/script"]);
    check(&["/nowhere/at/all"], 2, &[], &["No such file or directory"]);
    check(&[], 2, &[], &["Usage"]);
    check(&["--help"], 0, &["Exit status"], &[]);
    check(&["--version"], 0, &[concat!("zastava-elf ", env!("CARGO_PKG_VERSION"))], &[]);
}

#[test]
fn a_directory_prints_only_its_elf_files() {
    let directory = TempDir::new().unwrap();
    path(&directory, "script", b"#!/bin/sh\n");
    fs::create_dir(directory.path().join("below")).unwrap();
    let name = directory.path().to_str().unwrap();
    check(&[name], 1, &[], &[]);
    fs::write(directory.path().join("below/program"), elf()).unwrap();
    fs::hard_link(directory.path().join("below/program"), directory.path().join("same")).unwrap();
    let output = check(&[name], 0, &[HEX], &[]);
    assert_eq!(text(&output.stdout).lines().count(), 2, "a file is printed once");
}

#[test]
fn json_is_one_object_for_each_file() {
    let directory = TempDir::new().unwrap();
    let shape = SHAPES[0];
    let package = shape.note(b"FDO\0", 0xcafe_1a7e, b"{\"name\":\"hello\"}\0");
    let notes = [shape.note(b"Go\0\0", 4, b"go/id"), shape.gnu(&ID), package].concat();
    let with = path(&directory, "with", &shape.image().note_segment(notes).bytes());
    let other = path(&directory, "script", b"#!/bin/sh\n");
    let output = check(&["--json", &with, &other], 2, &[], &["not an ELF file"]);
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for (key, wanted) in [
        ("path", with.as_str().into()),
        ("buildId", HEX.into()),
        ("goBuildId", "go/id".into()),
        ("package", serde_json::json!({"name": "hello"})),
        ("class", 64.into()),
        ("byteOrder", "little".into()),
        ("machine", "x86_64".into()),
        ("debugPath", format!(".build-id/01/{}.debug", &HEX[2..]).into()),
        ("debugFile", Value::Null),
        ("degenerate", false.into()),
    ] {
        assert_eq!(lines[0][key], wanted, "{key}");
    }
    assert_eq!(lines[1]["error"]["kind"], "not_elf");
}

#[test]
fn each_id_is_looked_up_in_the_debug_root() {
    let directory = TempDir::new().unwrap();
    let program = path(&directory, "program", &elf());
    let root = directory.path().join("debug");
    let file = root.join(format!(".build-id/01/{}.debug", &HEX[2..]));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let root = root.to_str().unwrap();
    check(&["--debug-root", root, &program], 0, &["missing"], &[]);
    fs::write(&file, SHAPES[0].image().bytes()).unwrap();
    check(&["--debug-root", root, &program], 0, &["mismatch"], &[]);
    fs::write(&file, elf()).unwrap();
    let below = format!("found     .build-id/01/{}.debug", &HEX[2..]);
    check(&["--debug-root", root, &program], 0, &[&below], &[]);
    check(&["--debug-root", "/nowhere/at/all", &program], 2, &[], &["--debug-root /nowhere/at/all"]);
}

#[test]
fn a_process_prints_its_program_and_its_mapped_files() {
    let pid = format!("pid:{}", std::process::id());
    let own = build_id("/proc/self/exe").unwrap();
    let output = run(&["--json", &pid]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(value["buildId"].as_str(), own.map(|id| id.to_string()).as_deref());
    assert!(Path::new(value["path"].as_str().unwrap()).is_absolute());
    // With and without the capability to open mapped files by address.
    check(&["--maps", &pid], 0, &["libc.so"], &[]);
    check(&["pid:4294967295"], 2, &[], &["pid:4294967295"]);
}

#[test]
fn all_mapped_files_of_a_process_without_its_first_thread_are_printed() {
    let directory = TempDir::new().unwrap();
    let shape = SHAPES[0];
    let mut bytes = elf();
    bytes.resize(4096, 0);
    let names = ["lib.so", "lib.so (deleted)", "two\nlines.so", "literal\\012.so"];
    let mut steps = vec!["end-main".into()];
    for name in names {
        fs::write(directory.path().join(name), &bytes).unwrap();
        steps.push(step("map:", &directory.path().join(name)));
    }
    // A sibling that a misread name leads to.
    fs::write(directory.path().join("literal\n.so"), shape.image().note_segment(shape.gnu(b"decoy")).bytes())
        .unwrap();
    let Some(stage) = Stage::start(steps) else { return };
    stage.wait_for_end_of_main();
    let output = check(&["--json", "--maps", &format!("pid:{}", stage.pid())], 0, &["libc.so"], &[]);
    let ids = text(&output.stdout).lines().filter(|line| line.contains(HEX)).count();
    assert_eq!(ids, names.len(), "{}", text(&output.stdout));
    check(&[&format!("pid:{}", stage.pid())], 0, &["program"], &[]);
}

#[test]
fn an_object_file_with_many_sections_has_its_id() {
    let directory = TempDir::new().unwrap();
    for sections in [840, 900, 1020] {
        let shape = SHAPES[0];
        let mut image = shape.image().with(|image| image.kind = 1);
        image.sections = vec![Area::new(SHT_PROGBITS, 1, vec![0xc3; 16]); sections];
        image.sections[1] = Area::new(SHT_NOTE, 4, shape.gnu(&ID));
        let file = path(&directory, "many.o", &image.bytes());
        check(&[&file], 0, &[HEX], &[]);
    }
}

#[test]
fn the_cause_of_a_failure_is_part_of_it() {
    let output = check(&["--json", "/nowhere/at/all"], 2, &[], &["No such file or directory (os error 2)"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(value["error"]["kind"], "io");
    assert!(value["error"]["cause"].as_str().unwrap().ends_with("(os error 2)"), "{value}");
    let directory = TempDir::new().unwrap();
    let output = check(&["--json", &path(&directory, "script", b"#!/bin/sh\n")], 2, &[], &[]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(value["error"]["cause"], Value::Null);
}

/// Two names that differ only in bytes that are not UTF-8 stay two.
#[test]
fn names_that_are_not_utf_8_stay_distinguishable() {
    let directory = TempDir::new().unwrap();
    let names: [&[u8]; 4] = [b"\xff.so", b"\xfe.so", b"\xc3(.so", "\u{fffd}.so".as_bytes()];
    for name in names {
        fs::write(directory.path().join(OsStr::from_bytes(name)), elf()).unwrap();
    }
    let output = check(&["--json", directory.path().to_str().unwrap()], 0, &[], &[]);
    let lines = text(&output.stdout).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut seen: Vec<(String, Option<String>)> = lines
        .map(|line| {
            let name = line["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (name, line["pathHex"].as_str().map(|hex| hex[hex.len() - 10..].to_owned()))
        })
        .collect();
    seen.sort();
    let wanted = [
        (r"\xc3(.so", Some("c3282e736f")),
        (r"\xfe.so", Some("2ffe2e736f")),
        (r"\xff.so", Some("2fff2e736f")),
        ("\u{fffd}.so", None),
    ];
    let wanted = wanted.map(|(name, hex)| (name.to_owned(), hex.map(str::to_owned)));
    assert_eq!(seen, wanted);
    // Such a name can be given, and the table shows it too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-elf"));
    let output = command.arg(directory.path().join(OsStr::from_bytes(names[0]))).output().expect("it runs");
    assert!(output.status.success() && text(&output.stdout).contains(r"/\xff.so"), "{output:?}");
}

#[test]
fn names_cannot_control_the_terminal() {
    let directory = TempDir::new().unwrap();
    path(&directory, "\u{1b}[2Jname\n", &elf());
    let output = check(&[directory.path().to_str().unwrap()], 0, &["\\u{1b}[2Jname\\n"], &[]);
    assert!(!output.stdout.contains(&0x1b));
}
