//! Real interpreters, and the scripts that they run.

use std::process::Command;

use zastava_core::clock::Timestamp;
use zastava_observer::{CollectOptions, Node, ProcTree, ProcessInspector, ProcessTarget, host_workload};

use crate::support::{Echo, skip};

/// Runs a script that repeats its lines, in its directory, and checks what is told of it.
#[track_caller]
fn check(program: &str, arguments: &[&str], script: &str, language: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("app"), script).expect("can be written");
    let mut command = Command::new(program);
    command.args(arguments).args(["./app", "--password", "hunter2"]).current_dir(directory.path());
    let Ok(process) = Echo::start(command) else { return skip(&format!("{program} does not run here")) };
    let tree = ProcTree::open("/proc").expect("this system has one");
    let target = ProcessTarget { pid: process.pid(), ..ProcessTarget::default() };
    let facts =
        ProcessInspector::new(tree.clone(), CollectOptions::default()).inspect(&target).expect("can be read");
    let workload = host_workload(&tree, process.pid()).expect("runs");
    let node = Node { tenant: "acme".to_owned(), name: "node-1".to_owned(), boot_id: "b".to_owned() };
    let event = node.start_event(&workload, Timestamp::UNIX_EPOCH, Ok(&facts));
    let annotation = |key: &str| event.annotations.get(key).map(String::as_str);
    assert_eq!(annotation("interpreter"), Some(language), "{:?}", event.evidence);
    let script = directory.path().canonicalize().expect("is there").join("./app");
    assert_eq!(annotation("interpretedProgram"), script.to_str());
    if let Some(version) = annotation("interpreterVersion") {
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    }
    assert!(!format!("{event:?}").contains("hunter2"));
}

#[test]
fn python_runs_a_script() {
    let script = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)\n";
    check("python3", &["-u", "-W", "ignore"], script, "python");
}

#[test]
fn node_runs_a_script() {
    check("node", &["--no-warnings"], "process.stdin.pipe(process.stdout)\n", "node");
}

#[test]
fn perl_runs_a_script() {
    check("perl", &["-w"], "$| = 1; print while <STDIN>;\n", "perl");
}
