//! What is told of a workload that loads libraries, or runs files that are not its image's, after its start was told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use zastava_core::contract::EventKind;

use crate::prepared::Program;
use crate::support::{Running, Stage};

/// A program that maps the file as code when it is told to.
const LOADS_LATER: &str = "import mmap, sys
print('ready', flush=True)
sys.stdin.readline()
plugin = open(sys.argv[1], 'rb')
kept = mmap.mmap(plugin.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print('loaded', flush=True)
sys.stdin.readline()";

struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    fn start(script: &str, argument: &str) -> Self {
        let mut command = Command::new("python3");
        let command = command.args(["-c", script, argument]).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("is installed");
        let (stdin, stdout) = (child.stdin.take().expect("is piped"), child.stdout.take());
        Self { child, stdin, stdout: BufReader::new(stdout.expect("is piped")) }
    }

    fn says(&mut self, wanted: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("can be read");
        assert_eq!(line.trim(), wanted);
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_is_loaded_later_completes_the_start() {
    let Some(program) = Program::build(&[]) else { return };
    let plugin = program.path.display().to_string();
    let stage = Stage::start().await;
    let settings = [
        ("zastava.observer.engine", "host"),
        ("zastava.observer.collect.secondLookAfter", "1s"),
        ("zastava.observer.collect.thirdLookAfter", "5s"),
    ];
    let mut python = Python::start(LOADS_LATER, &plugin);
    // Its own libraries are loaded when the observer sees it.
    python.says("ready");
    let mut running = Running::start(stage.options(&settings));
    let start = running.event(EventKind::ContainerStart, python.child.id()).await;
    assert!(!start.loaded_libs.is_empty() && !start.annotations.contains_key("amends"));
    python.stdin.write_all(b"load\n").expect("is read");
    python.says("loaded");
    let later = running.event(EventKind::ContainerStart, python.child.id()).await;
    assert_eq!(later.annotations["amends"], start.event_id);
    assert_ne!(later.event_id, start.event_id);
    assert_eq!(later.workload, start.workload);
    // Nothing of what the start told.
    let [library] = &later.loaded_libs[..] else { panic!("{:?}", later.loaded_libs) };
    assert_eq!(library.path, plugin);
    assert!(library.sha256.is_some() && library.build_id.is_some(), "{library:?}");
    drop(python);
    running.event(EventKind::ContainerStop, later.process.as_ref().expect("has one").pid).await;
    running.end().await;
}
