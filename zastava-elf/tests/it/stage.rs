//! A process that maps what a test says.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zastava_elf::Process;

use crate::skip::skip;

/// Ends a test that hangs. Nothing takes so long otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program of `program.c`.
pub(crate) struct Stage {
    child: Child,
}

/// The built program; `None` without a C compiler.
pub(crate) fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        let program = directory.path().join("program");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program.c");
        match Command::new("cc").args(["-pthread", "-o"]).args([&program, Path::new(source)]).status() {
            Ok(status) => assert!(status.success(), "program.c can be compiled"),
            Err(error) => {
                skip(&format!("there is no C compiler: {error}"));
                return None;
            }
        }
        Some((directory, program))
    });
    built.as_ref().map(|(_, program)| program.as_path())
}

/// A step such as `map:<path>`.
pub(crate) fn step(name: &str, path: &Path) -> OsString {
    [OsStr::new(name), path.as_os_str()].into_iter().collect()
}

impl Stage {
    /// Runs the program with these steps; `None`, and a line that says why, if that is impossible here.
    pub(crate) fn start<S: AsRef<OsStr>>(steps: impl IntoIterator<Item = S>) -> Option<Self> {
        let mut command = Command::new(program()?);
        command.args(steps);
        Self::run(command)
    }

    /// Runs a copy of the program.
    pub(crate) fn start_in_place(copy: &Path) -> Option<Self> {
        Self::run(Command::new(copy))
    }

    /// Runs the program at the end of a shell script in a mount namespace of its own. The script has the program as `$1`.
    pub(crate) fn start_in_mounts(directory: &Path, script: &str) -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh"]).arg(program()?).current_dir(directory);
        Self::run(command)
    }

    fn run(mut command: Command) -> Option<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut stage = Self { child: child.expect("it can be started") };
        let mut line = String::new();
        BufReader::new(stage.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line == "ready\n" {
            return Some(stage);
        }
        drop(stage.child.stdin.take());
        let mut reason = String::new();
        for line in BufReader::new(stage.child.stderr.take().unwrap()).lines() {
            reason += &line.unwrap();
        }
        skip(&format!("a process cannot be prepared here: {reason}"));
        None
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn process(&self) -> Process {
        Process::open(self.pid()).expect("it runs")
    }

    /// Waits until the kernel shows the first thread as ended.
    pub(crate) fn wait_for_end_of_main(&self) {
        let until = Instant::now() + PATIENCE;
        while !state(self.pid()).starts_with('Z') {
            assert!(Instant::now() < until, "the first thread never ends");
            std::thread::yield_now();
        }
    }

    /// Ends the process, without reaping it.
    pub(crate) fn end(&mut self) {
        drop(self.child.stdin.take());
        self.child.kill().ok();
        let tasks = format!("/proc/{}/task", self.pid());
        let until = Instant::now() + PATIENCE;
        while !state(self.pid()).starts_with('Z') || std::fs::read_dir(&tasks).unwrap().count() > 1 {
            assert!(Instant::now() < until, "the process never ends");
            std::thread::yield_now();
        }
    }
}

/// What follows the name in `stat`.
fn state(pid: u32) -> String {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).expect("it is not reaped");
    let after = stat.iter().rposition(|&byte| byte == b')').unwrap() + 2;
    OsStr::from_bytes(&stat[after..]).to_string_lossy().into_owned()
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
