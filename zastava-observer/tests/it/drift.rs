//! Files that run and are not the image's, on a real overlayfs and on a plain directory.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use zastava_observer::{CollectOptions, Drift, ProcTree, ProcessInspector, ProcessTarget, Verdict};

use crate::prepared::{Prepared, Program};

/// Makes an overlay of `low` and an empty upper layer at `over`. `low` holds the program, a library, busybox, and a script
/// that becomes the program.
const OVERLAY: &str = "mkdir -p low/bin low/lib low/mnt up work over
    cp \"$1\" low/bin/app; cp \"$1\" low/lib/a.so; cp \"$(command -v busybox)\" low/bin/busybox
    ln -s busybox low/bin/sh; printf '#!/bin/sh\\nexec /bin/app \"$@\"\\n' > low/entry; chmod 755 low/entry
    mount -t overlay over -o lowerdir=low,upperdir=$PWD/up,workdir=work over\n";

fn inspector() -> ProcessInspector {
    ProcessInspector::new(ProcTree::open("/proc").expect("this system has one"), CollectOptions::default())
}

fn drift_of(inspector: &ProcessInspector, process: &Prepared) -> Vec<Drift> {
    let target = ProcessTarget { pid: process.pid(), ..ProcessTarget::default() };
    let facts = inspector.inspect(&target).expect("can be read");
    inspector.drift(&facts).expect("can be compared")
}

fn verdicts(found: &[Drift]) -> Vec<(&str, Verdict)> {
    found.iter().map(|drift| (drift.path.as_str(), drift.verdict)).collect()
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("coreutils are there");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("has one").to_owned()
}

/// Runs the program in the overlay after these commands.
#[track_caller]
fn check(change: &str, run: &str, wanted: &[(&str, Verdict)]) {
    let Some(program) = Program::build(&["-static"]) else { return };
    let script = format!("{OVERLAY}{change}\nexec chroot over {run}");
    let Some(process) = Prepared::start_in_mounts(&program, &script) else { return };
    let found = drift_of(&inspector(), &process);
    assert_eq!(verdicts(&found), wanted, "{change}; {run}");
    for drift in found.iter().filter(|drift| drift.verdict.is_drift()) {
        assert!(drift.sha256.is_some(), "{drift:?}");
    }
}

#[test]
fn what_the_image_holds_is_no_drift() {
    let app = "/bin/app map:/lib/a.so";
    check("", app, &[]);
    // A link, a script that becomes another program, and a program of the image below a new directory's neighbours.
    check(
        "ln -s app over/bin/link; ln over/bin/app over/bin/hard; rm over/bin/hard",
        "/bin/link",
        &[("/bin/app", Verdict::MetadataOnly)],
    );
    check("", "/entry map:/lib/a.so", &[]);
    check("echo data > over/data; echo more >> over/lib/other", app, &[]);
}

#[test]
fn metadata_alone_is_no_drift() {
    let touched = &[("/bin/app", Verdict::MetadataOnly), ("/lib/a.so", Verdict::MetadataOnly)];
    for change in [
        "chmod 700 over/bin/app over/lib/a.so",
        "touch -d 2001-01-01 over/bin/app over/lib/a.so",
        "touch over/bin/app over/lib/a.so",
        "chown 7:7 over/bin/app over/lib/a.so",
        // As a package manager that puts the same files there again.
        "for f in bin/app lib/a.so; do cp -a over/$f over/$f.new; mv over/$f.new over/$f; done",
    ] {
        check(change, "/bin/app map:/lib/a.so", touched);
    }
}

#[test]
fn new_and_changed_files_are_drift() {
    check("cp over/bin/app over/bin/dropped", "/bin/dropped", &[("/bin/dropped", Verdict::New)]);
    check("cp over/lib/a.so over/b.so", "/bin/app map:/lib/a.so map:/b.so", &[("/b.so", Verdict::New)]);
    check("printf x >> over/bin/app", "/bin/app", &[("/bin/app", Verdict::Modified)]);
    // The time of change can be set back, the content cannot.
    // A byte of the padding in the header.
    let same_size = "printf '\\003' | dd of=over/bin/app bs=1 seek=9 conv=notrunc 2>/dev/null
        touch -d 2001-01-01 over/bin/app";
    check(same_size, "/bin/app", &[("/bin/app", Verdict::Modified)]);
    check(
        "rm over/lib/a.so; cp over/bin/busybox over/lib/a.so",
        "/bin/app map:/lib/a.so",
        &[("/lib/a.so", Verdict::Modified)],
    );
    let volume = "mount -t tmpfs volume over/mnt; cp over/bin/app over/mnt/app";
    check(volume, "/mnt/app map:/lib/a.so", &[("/mnt/app", Verdict::Volume)]);
    check(volume, "/bin/app map:/mnt/app", &[("/mnt/app", Verdict::Volume)]);
}

#[test]
fn a_deleted_program_is_drift() {
    let Some(program) = Program::build(&["-static"]) else { return };
    let script = format!("{OVERLAY}cp over/bin/app over/bin/gone\nexec chroot over /bin/gone");
    let Some(process) = Prepared::start_in_mounts(&program, &script) else { return };
    fs::remove_file(format!("/proc/{}/root/bin/gone", process.pid())).expect("can be removed");
    let found = drift_of(&inspector(), &process);
    assert_eq!(verdicts(&found), [("/bin/gone", Verdict::Deleted)]);
    assert_eq!(found[0].sha256.as_deref(), Some(sha256(&program.path).as_str()));
}

#[test]
fn a_program_in_memory_is_drift() {
    let Some(program) = Program::build(&["-static"]) else { return };
    let script = "exec python3 -c 'import os, sys
fd = os.memfd_create(\"evil\", 0)
os.write(fd, open(sys.argv[1], \"rb\").read())
os.execve(\"/proc/self/fd/%d\" % fd, [\"app\"], {})' \"$1\"";
    let Some(process) = Prepared::start_in_mounts(&program, script) else { return };
    let found = drift_of(&inspector(), &process);
    assert_eq!(verdicts(&found), [("/memfd:evil", Verdict::Memfd)]);
    assert_eq!(found[0].sha256.as_deref(), Some(sha256(&program.path).as_str()));
}

/// A plain directory as a container's root, with the files in it that were there before its process started.
struct Plain {
    program: Program,
    root: PathBuf,
}

impl Plain {
    fn new() -> Option<Self> {
        let program = Program::build(&["-static"])?;
        let root = program.directory.path().join("root");
        for path in ["bin/app", "lib/a.so"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
            fs::copy(&program.path, &path).expect("can be copied");
        }
        // Starts are known to a hundredth of a second.
        std::thread::sleep(Duration::from_millis(50));
        Some(Self { program, root })
    }

    fn start(&self, change: &str, run: &str) -> Option<Prepared> {
        let script = format!("mount --bind root root; sleep 0.05\n{change}\nexec chroot root {run}");
        Prepared::start_in_mounts(&self.program, &script)
    }
}

#[test]
fn times_decide_without_layers() {
    for (change, run, wanted) in [
        ("", "/bin/app map:/lib/a.so", &[][..]),
        ("chmod 700 root/bin/app root/lib/a.so", "/bin/app map:/lib/a.so", &[]),
        ("touch root/bin/app root/lib/a.so", "/bin/app map:/lib/a.so", &[]),
        ("touch -d 2030-01-01 root/bin/app", "/bin/app", &[]),
        ("ln -s app root/bin/link", "/bin/link", &[]),
        ("cp root/bin/app root/bin/dropped", "/bin/dropped", &[("/bin/dropped", Verdict::New)]),
        (
            "cp root/bin/app root/dropped; touch -d 2001-01-01 root/dropped",
            "/dropped",
            &[("/dropped", Verdict::New)],
        ),
        ("cp root/lib/a.so root/b.so", "/bin/app map:/b.so", &[("/b.so", Verdict::New)]),
        (
            "mkdir root/mnt; mount -t tmpfs v root/mnt; cp root/bin/app root/mnt",
            "/mnt/app",
            &[("/mnt/app", Verdict::Volume)],
        ),
    ] {
        let Some(plain) = Plain::new() else { return };
        let Some(process) = plain.start(change, run) else { return };
        assert_eq!(verdicts(&drift_of(&inspector(), &process)), wanted, "{change}; {run}");
    }
}

#[test]
fn a_hash_from_before_decides_without_layers() {
    let Some(plain) = Plain::new() else { return };
    let library = plain.root.join("lib/a.so");
    let Some(process) = plain.start("", "/bin/app map:/lib/a.so") else { return };
    let inspector = inspector();
    assert_eq!(drift_of(&inspector, &process), []);
    let before = fs::metadata(&library).expect("is there").permissions();
    fs::set_permissions(&library, before).expect("can be set");
    assert_eq!(verdicts(&drift_of(&inspector, &process)), [("/lib/a.so", Verdict::MetadataOnly)]);
    let mut file = fs::OpenOptions::new().write(true).open(&library).expect("can be opened");
    file.seek(SeekFrom::Start(9)).expect("has so many bytes");
    file.write_all(&[3]).expect("can be written");
    drop(file);
    assert_eq!(verdicts(&drift_of(&inspector, &process)), [("/lib/a.so", Verdict::Modified)]);
}

#[test]
fn a_process_whose_root_is_no_mount_is_not_judged() {
    let Some(program) = Program::build(&["-static"]) else { return };
    let script = "mkdir -p sub/bin; cp \"$1\" sub/bin/app; exec chroot sub /bin/app";
    let Some(process) = Prepared::start_in_mounts(&program, script) else { return };
    let target = ProcessTarget { pid: process.pid(), ..ProcessTarget::default() };
    let facts = inspector().inspect(&target).expect("can be read");
    assert_eq!(inspector().drift(&facts), Err("its root is no mount".to_owned()));
}
