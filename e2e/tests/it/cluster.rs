//! Tests of the cluster itself.

use std::path::Path;
use std::process::{Command, Stdio};

use zastava_e2e::{Cluster, Lifetime};

use crate::support;

#[test]
fn a_cluster_leaves_nothing_behind_however_it_ends() {
    let Some(options) = support::options("remains") else { return };
    let directory = options.directory.clone();

    let cluster = Cluster::start(&options, Lifetime::Handle).expect("starts");
    let nodes = cluster.kubectl(["get", "nodes", "-o", "name"]).expect("answers");
    assert_eq!(nodes, "node/n1\nnode/n2\n");
    assert!(!remains(&directory).is_empty(), "what is looked for is there while it runs");
    drop(cluster);
    assert_eq!(remains(&directory), [""; 0], "the handle's end");

    let cluster = Cluster::start(&options, Lifetime::Machine).expect("starts again");
    let path = cluster.directory().join("cluster.json");
    drop(cluster);
    assert!(path.exists(), "a cluster for the machine outlives its handle");
    let first = Cluster::find(&directory).expect("is found");
    kill_first_process(&first);
    Cluster::remove(&directory).expect("is removed after a crash");
    assert_eq!(remains(&directory), [""; 0], "a crash");
    Cluster::remove(&directory).expect("nothing to remove is no error");
    Cluster::find(&directory).expect_err("there is none");
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let Some(mut options) = support::options("foreign") else { return };
    let directory = tempfile::tempdir().expect("is made");
    std::fs::write(directory.path().join("precious"), "x").expect("is written");
    options.directory = directory.path().to_owned();
    let error = Cluster::start(&options, Lifetime::Handle).expect_err("is refused").to_string();
    assert!(error.contains("not empty"), "{error}");
    Cluster::remove(directory.path()).expect_err("is refused too");
    assert!(directory.path().join("precious").exists());
}

/// Kills the control plane's first process from inside, as a bug or the kernel would.
fn kill_first_process(cluster: &Cluster) {
    let entering = cluster.entering();
    let pid = entering.split_whitespace().nth(2).expect("nsenter --target PID");
    let killed = Command::new("kill").args(["-KILL", pid]).status().expect("kill runs");
    assert!(killed.success());
}

/// Processes, mounts, network namespaces and control groups that name the directory.
fn remains(directory: &Path) -> Vec<String> {
    let text = directory.to_string_lossy().into_owned();
    let group = text.trim_matches('/').replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let script = format!(
        "pgrep -a -f -- {text}; grep -h -- {text} /proc/[0-9]*/mountinfo; find /sys/fs/cgroup -name {group}; ls -d {text}"
    );
    let output = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).output().expect("sh runs");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    // The shell that looks names it too.
    found.lines().filter(|line| !line.contains("pgrep")).map(str::to_owned).collect()
}
