//! A process that maps what a test says: `program.c`, which is that of zastava-elf's tests.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::skip;

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The built program.
pub(crate) struct Program {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Program {
    /// `None`, and a line that says why, without a C compiler.
    pub(crate) fn build(arguments: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program.c");
        let mut compiler = Command::new("cc");
        match compiler.args(arguments).arg("-pthread").arg("-o").arg(&path).arg(source).status() {
            Ok(status) => assert!(status.success(), "program.c can be compiled"),
            Err(error) => {
                skip(&format!("there is no C compiler: {error}"));
                return None;
            }
        }
        Some(Self { directory, path })
    }
}

/// A step such as `map:<path>`.
pub(crate) fn step(name: &str, path: &Path) -> OsString {
    [OsStr::new(name), path.as_os_str()].into_iter().collect()
}

/// The running program.
pub(crate) struct Prepared(Child);

impl Prepared {
    /// Runs the program with these steps; `None`, and a line that says why, if that is impossible here.
    pub(crate) fn start(program: &Path, steps: &[OsString]) -> Option<Self> {
        Self::run(Command::new(program).args(steps))
    }

    /// Runs the program under another name in its arguments.
    pub(crate) fn start_as(program: &Path, name: &str, steps: &[OsString]) -> Option<Self> {
        Self::run(Command::new(program).arg0(name).args(steps))
    }

    /// Runs a shell script, which ends in the program as `$1`, in a mount namespace of its own.
    pub(crate) fn start_in_mounts(program: &Program, script: &str) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh"]).arg(&program.path);
        Self::run(command.current_dir(program.directory.path()))
    }

    fn run(command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut prepared = Self(command.spawn().expect("can be started"));
        let (mut line, mut reason) = (String::new(), String::new());
        BufReader::new(prepared.0.stdout.as_mut().expect("is piped"))
            .read_line(&mut line)
            .expect("can be read");
        if line == "ready\n" {
            return Some(prepared);
        }
        drop(prepared.0.stdin.take());
        prepared.0.stderr.take().expect("is piped").read_to_string(&mut reason).expect("can be read");
        skip(&format!("a process cannot be prepared here: {reason}"));
        None
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until the kernel shows the first thread as ended.
    pub(crate) fn wait_for_end_of_main(&self) {
        let (stat, until) = (format!("/proc/{}/stat", self.pid()), Instant::now() + PATIENCE);
        while !std::fs::read_to_string(&stat).expect("runs").contains(") Z ") {
            assert!(Instant::now() < until, "the first thread never ends");
            std::thread::yield_now();
        }
    }

    pub(crate) fn end(&mut self) {
        self.0.kill().expect("runs");
        self.0.wait().expect("ends");
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
