//! Programs in a real directory tree, which is the root of a container that is about to start.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;
use crate::reads::Reads;
use crate::workload::DeclaredUser;

/// An ELF file whose build-id begins with `id`: a header, and a note segment that holds nothing but the build-id.
fn elf(class: u8, id: u8) -> Vec<u8> {
    let is_64 = class == 2;
    let (header, entry) = if is_64 { (64_u16, 56_u16) } else { (52, 32) };
    let note_at = u64::from(header + entry);
    let word = |number: u64| {
        if is_64 { number.to_le_bytes().to_vec() } else { (number as u32).to_le_bytes().to_vec() }
    };
    let mut file = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let machine: u16 = if is_64 { 62 } else { 3 };
    for half in [2, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for number in [0, u64::from(header), 0] {
        file.extend(word(number));
    }
    file.extend(0_u32.to_le_bytes());
    for half in [header, entry, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let (note, flags, size) = (4_u32, 4_u32, 20_u64);
    file.extend(note.to_le_bytes());
    if is_64 {
        file.extend(flags.to_le_bytes());
    }
    for number in [note_at, 0, 0, size, size] {
        file.extend(word(number));
    }
    if !is_64 {
        file.extend(flags.to_le_bytes());
    }
    file.extend(word(4));
    for number in [4_u32, 4, 3] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"GNU\0");
    file.extend([id, 0xb1, 0xb2, 0xb3]);
    file
}

struct Container {
    root: TempDir,
    declared: DeclaredProcess,
}

impl Container {
    fn new() -> Self {
        let container =
            Self { root: tempfile::tempdir().expect("a directory"), declared: DeclaredProcess::default() };
        for (path, content) in [
            ("usr/bin/app", elf(2, 0xa)),
            ("usr/bin/env", elf(2, 0xe)),
            ("usr/bin/node", elf(2, 0xd)),
            ("bin/app32", elf(1, 0x3)),
            ("bin/sh", elf(2, 0x5)),
            ("srv/run", b"#!/bin/sh -e\nexec app\n".to_vec()),
        ] {
            container.write(path, &content, 0o755);
        }
        container
    }

    fn write(&self, path: &str, content: &[u8], mode: u32) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        fs::write(&path, content).expect("can be written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("can be set");
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.root.path().join(path)).expect("can be made");
    }

    fn declare(&mut self, word: &str, path: &str, cwd: &str) {
        self.declared.args = vec![word.to_owned(), "argument".to_owned()];
        self.declared.variables = vec![format!("PATH={path}")].into();
        cwd.clone_into(&mut self.declared.cwd);
    }

    fn resolve(&self) -> PreparedProgram {
        let root = Arc::new(Root::open(self.root.path()).expect("is a directory"));
        let mut reader = Reads::default().patient_reader(Duration::from_secs(60));
        read(&mut reader, Place::LookUp { pid: 1 }, root, &self.declared, Arc::default()).expect("answers")
    }

    /// Declares a program with `PATH=/usr/bin:/bin` in `/`, and checks the chain and either the first byte of the build-id
    /// or the reason why there is none.
    #[track_caller]
    fn check(&mut self, word: &str, chain: &[&str], wanted: Result<&str, &str>) {
        self.declare(word, "/usr/bin:/bin", "/");
        self.check_declared(chain, wanted);
    }

    #[track_caller]
    fn check_declared(&self, chain: &[&str], wanted: Result<&str, &str>) {
        let found = self.resolve();
        let reasons: Vec<_> = found.evidence.iter().map(|evidence| evidence.value.as_str()).collect();
        assert_eq!(found.chain, chain, "{reasons:?}");
        match wanted {
            Ok(id) => {
                assert_eq!(
                    (found.build_id.as_deref(), &reasons[..]),
                    (Some(format!("{id}b1b2b3").as_str()), &[][..])
                )
            }
            Err(reason) => assert_eq!((found.build_id.as_deref(), &reasons[..]), (None, &[reason][..])),
        }
        let provenance = if chain.is_empty() { Provenance::Declared } else { Provenance::ResolvedBeforeExec };
        assert_eq!(found.provenance(), provenance);
    }
}

#[test]
fn names_are_searched_along_the_declared_path() {
    let mut container = Container::new();
    container.check("app", &["/usr/bin/app"], Ok("0a"));
    container.check("/usr/bin/app", &["/usr/bin/app"], Ok("0a"));
    container.check("app32", &["/bin/app32"], Ok("03"));
    container.check("missing", &[], Err("not found"));
    container.check("/usr/bin/missing", &[], Err("not found"));
    container.check("/usr/bin/app/below", &[], Err("not found"));
    container.check("", &[], Err("the specification names no program"));
    for (path, cwd, wanted) in [
        ("", "/usr/bin", Err("not found: there is no PATH")),
        ("/nowhere:", "/usr/bin", Ok("/usr/bin/app")),
        (":/nowhere", "/usr/bin", Ok("/usr/bin/app")),
        ("/nowhere::/bin", "/usr/bin", Ok("/usr/bin/app")),
        ("/nowhere:/bin", "/usr/bin", Err("not found")),
        ("bin", "/usr", Ok("/usr/bin/app")),
        ("/usr/bin/../bin", "/", Ok("/usr/bin/../bin/app")),
    ] {
        container.declare("app", path, cwd);
        match wanted {
            Ok(path) => container.check_declared(&[path], Ok("0a")),
            Err(reason) => container.check_declared(&[], Err(reason)),
        }
    }
    container.declared.args.clear();
    container.check_declared(&[], Err("the specification names no program"));
}

#[test]
fn a_path_is_relative_to_the_working_directory_and_not_searched() {
    let mut container = Container::new();
    container.declare("bin/app", "/bin", "/usr");
    container.check_declared(&["/usr/bin/app"], Ok("0a"));
    container.declare("./app", "/usr/bin", "usr/bin");
    container.check_declared(&["/usr/bin/./app"], Ok("0a"));
    container.declare("./app", "/usr/bin", "/");
    container.check_declared(&[], Err("not found"));
    container.declare("../../../../usr/bin/app", "", "/srv");
    container.check_declared(&["/srv/../../../../usr/bin/app"], Ok("0a"));
}

#[test]
fn links_do_not_leave_the_root() {
    let mut container = Container::new();
    container.link("usr/bin/absolute", "/usr/bin/app");
    container.link("usr/bin/up", "../../../../../../usr/bin/app");
    container.link("usr/bin/hosts", "/etc/hostname");
    container.link("usr/bin/around", "around");
    container.link("usr/bin/dangling", "/nowhere");
    container.link("lib", "usr/bin");
    for name in ["absolute", "up"] {
        container.check(name, &[&format!("/usr/bin/{name}")], Ok("0a"));
    }
    container.check("/lib/app", &["/lib/app"], Ok("0a"));
    for name in ["hosts", "around", "dangling"] {
        container.check(name, &[], Err("not found"));
    }
}

#[test]
fn what_cannot_be_executed_is_passed_by_or_told() {
    let mut container = Container::new();
    container.write("usr/bin/data", &elf(2, 1), 0o644);
    container.check("data", &[], Err("no permission to execute it"));
    container.write("bin/data", &elf(2, 2), 0o755);
    container.check("data", &["/bin/data"], Ok("02"));
    container.write("usr/bin/folder/file", b"", 0o755);
    container.check("folder", &[], Err("not a regular file"));
    container.write("bin/folder", &elf(2, 2), 0o755);
    container.check("folder", &["/bin/folder"], Ok("02"));
    container.write("usr/bin/empty", b"", 0o755);
    container.write("bin/empty", &elf(2, 2), 0o755);
    container.check("empty", &[], Err("empty"));
    let fifo = container.root.path().join("usr/bin/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("can be made");
    container.check("/usr/bin/fifo", &[], Err("not a regular file"));
    container.write("usr/bin/text", b"echo hello\n", 0o755);
    container.check("text", &["/usr/bin/text"], Err("not an ELF file"));
}

#[test]
fn the_users_permission_counts() {
    let mut container = Container::new();
    let other = |groups: &[u32]| DeclaredUser { uid: 4000, gid: 4000, additional_gids: groups.to_vec() };
    for (mode, user, may) in [
        (0o700, DeclaredUser::default(), true),
        (0o001, DeclaredUser::default(), true),
        (0o600, DeclaredUser::default(), false),
        (0o700, other(&[]), false),
        (0o755, other(&[]), true),
        (0o710, other(&[]), false),
        (0o710, other(&[7, 3000]), true),
        (0o701, other(&[3000]), false),
        (0o100, DeclaredUser { uid: 3000, ..DeclaredUser::default() }, true),
        (0o011, DeclaredUser { uid: 3000, gid: 3000, ..DeclaredUser::default() }, false),
    ] {
        container.write("usr/bin/guarded", &elf(2, 9), mode);
        if chown(container.root.path().join("usr/bin/guarded"), Some(3000), Some(3000)).is_err() {
            // Past the capture of the test runner, which would hide the line.
            let _ = writeln!(std::io::stderr(), "SKIP: only root can give a file to another user");
            return;
        }
        container.declared.user = user;
        match may {
            true => container.check("guarded", &["/usr/bin/guarded"], Ok("09")),
            false => container.check("guarded", &[], Err("no permission to execute it")),
        }
    }
}

#[test]
fn a_script_leads_to_its_interpreter() {
    let mut container = Container::new();
    container.check("/srv/run", &["/srv/run", "/bin/sh"], Ok("05"));
    container.write("srv/second", b"#!/srv/run\n", 0o755);
    container.check("/srv/second", &["/srv/second", "/srv/run", "/bin/sh"], Ok("05"));
    container.write("srv/relative", b"#!bin/sh\n", 0o755);
    container.check("/srv/relative", &["/srv/relative", "/bin/sh"], Ok("05"));
    container.write("srv/lost", b"#!/bin/bash\n", 0o755);
    container.check("/srv/lost", &["/srv/lost"], Err("interpreter /bin/bash: not found"));
    container.write("srv/data", b"#!/srv/plain\n", 0o755);
    container.write("srv/plain", b"text", 0o644);
    container.check("/srv/data", &["/srv/data"], Err("interpreter /srv/plain: no permission to execute it"));
}

#[test]
fn env_leads_to_the_program_that_it_starts() {
    let mut container = Container::new();
    container.write("srv/app.js", b"#!/usr/bin/env node\n", 0o755);
    container.check("/srv/app.js", &["/srv/app.js", "/usr/bin/env", "/usr/bin/node"], Ok("0d"));
    container.write("srv/split.js", b"#!/usr/bin/env -S A=b node --flag\n", 0o755);
    container.check("/srv/split.js", &["/srv/split.js", "/usr/bin/env", "/usr/bin/node"], Ok("0d"));
    container.write("srv/app.rb", b"#!/usr/bin/env ruby\n", 0o755);
    container.check("/srv/app.rb", &["/srv/app.rb", "/usr/bin/env"], Err("ruby of env: not found"));
    // What env would say itself.
    container.write("srv/odd", b"#!/usr/bin/env node --flag\n", 0o755);
    container.check("/srv/odd", &["/srv/odd", "/usr/bin/env"], Ok("0e"));
}

#[test]
fn interpreters_that_lead_to_each_other_end() {
    let mut container = Container::new();
    container.write("srv/a", b"#!/srv/b\n", 0o755);
    container.write("srv/b", b"#!/srv/a\n", 0o755);
    container.declare("/srv/a", "", "/");
    let found = container.resolve();
    assert_eq!(found.chain.len(), DEPTH_MAX + 1);
    assert_eq!((found.file, found.build_id), (None, None));
    assert_eq!(found.evidence, [Evidence::new(Signal::SpecProgram, "more than 8 interpreters")]);
}

#[test]
fn the_file_is_identified() {
    let mut container = Container::new();
    container.declare("app", "/usr/bin", "/");
    let file = container.resolve().file.expect("is found");
    let path = container.root.path().join("usr/bin/app");
    assert_eq!(file, FileVersion::of(fs::File::open(path).expect("is there")).expect("has one"));
}

#[test]
fn a_real_process_is_held_and_its_root_is_searched() {
    let tree = procfs::ProcTree::open("/proc").expect("is there");
    let inspector = ProcessInspector::new(tree, crate::options::CollectOptions::default());
    let resolve = |word: &str| {
        let waiting = inspector.hold(std::process::id()).expect("runs");
        assert!(waiting.start_ticks().is_some_and(|ticks| ticks > 0));
        let variables = vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()].into();
        let args = vec![word.to_owned()];
        inspector.resolve(waiting, &DeclaredProcess { args, variables, ..DeclaredProcess::default() })
    };
    let found = resolve("sleep");
    let path = found.chain.first().expect("is found");
    assert_eq!(found.build_id, zastava_elf::build_id(path).expect("is ELF").map(|id| id.to_string()));
    // The kernel's links lead out of any root: this one to a program of the host.
    let found = resolve("/proc/self/exe");
    assert_eq!(found.evidence, [Evidence::new(Signal::SpecProgram, "not found")]);
    assert!(matches!(inspector.hold(u32::MAX >> 1), Err(InspectError::Ended)));
}
