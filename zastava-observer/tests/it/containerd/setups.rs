//! The essential promises with each containerd and each snapshotter: starts, stops, programs that end at once, drift.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_observer::{CollectOptions, Drift, ProcTree, ProcessInspector, ProcessTarget, Verdict};

use super::capture::{TRUE, check_storm, starts, subscribed};
use super::cri::Pod;
use super::harness::{BUSYBOX, Containerd, Setup, is_possible};
use super::{FIRST, SLEEP, check_start, kill};
use crate::support::{Stage, skip, within};

/// The version that the cluster of `e2e` has, unless `ZASTAVA_CONTAINERD` names a folder with another one.
const BUILT: &str = "../e2e/.tools/containerd-2.3.7";

/// A path and what the file there is.
type Drifted = (&'static str, Verdict);

/// What a shell of the image does, and which drift its last program then is.
const CHANGES: [(&str, &str, Option<Drifted>); 10] = [
    ("unchanged", "exec busybox sleep 300", None),
    ("mode", "busybox chmod 700 /bin/busybox; exec /bin/busybox sleep 300", None),
    ("times", "busybox touch -d 200101010000 /bin/busybox; exec /bin/busybox sleep 300", None),
    ("owner", "busybox chown 7:7 /bin/busybox; exec /bin/busybox sleep 300", None),
    ("link", "busybox ln -s busybox /bin/sleep; exec sleep 300", None),
    ("wrapper", "exec busybox env A=b busybox sh -c 'exec busybox sleep 300'", None),
    (
        "new",
        "busybox mkdir /new; busybox cp /bin/busybox /new/busybox; exec /new/busybox sleep 300",
        Some(("/new/busybox", Verdict::New)),
    ),
    (
        "replaced",
        "busybox cp /bin/busybox /b; printf x >> /b; busybox mv /b /bin/busybox; exec /bin/busybox sleep 300",
        Some(("/bin/busybox", Verdict::Modified)),
    ),
    (
        "deleted",
        "busybox cp /bin/busybox /gone; busybox ln -s /proc/self/fd/3 /busybox; exec 3</gone; busybox rm /gone; exec /busybox sleep 300",
        Some(("/gone", Verdict::Deleted)),
    ),
    ("volume", "exec /mnt/busybox sleep 300", Some(("/mnt/busybox", Verdict::Volume))),
];

/// The folder of a containerd that was built; `None` and a line that says so if there is none.
fn built() -> Option<PathBuf> {
    let named = std::env::var_os("ZASTAVA_CONTAINERD").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(BUILT));
    if folder.join("containerd").exists() {
        return Some(folder);
    }
    skip(&format!("no containerd in {}; `zastava-e2e tools` builds one", folder.display()));
    None
}

async fn check(setup: Setup) {
    if !is_possible() {
        return;
    }
    let (stage, snapshotter) = (Stage::start().await, setup.snapshotter);
    let mut containerd = Containerd::start_as(&stage.directory.path().join("containerd"), setup).await;
    containerd.import(FIRST);
    let pod = Pod::run(&containerd.socket()).await;
    let mut running = subscribed(&stage, &containerd).await;

    let id = pod.run_container("stays", &SLEEP).await;
    let pid = containerd.adopt(&id);
    let start = running.event(EventKind::ContainerStart, pid).await;
    check_start(&start);
    assert_eq!(has_layers(pid), snapshotter == "overlayfs");
    assert_eq!(start.workload.pod.as_deref(), Some("api-7d"));
    kill(pid);
    let stop = running.event(EventKind::ContainerStop, pid).await;
    assert_eq!(stop.annotations["exitStatus"], "137");

    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(pod.run_container(&format!("true-{number}"), &TRUE).await);
    }
    check_storm(&starts(&mut running, &ids).await);

    let volume = stage.directory.path().join("volume");
    fs::create_dir(&volume).expect("can be made");
    fs::copy(BUSYBOX, volume.join("busybox")).expect("can be copied");
    let mut clean = vec![pid];
    for (name, script, wanted) in CHANGES {
        // Times without layers say what came later than the start, to a hundredth of a second.
        let script = format!("busybox usleep 100000; {script}");
        let id = pod.run_container_with(name, Some(&volume), &[BUSYBOX, "sh", "-c", &script]).await;
        let pid = containerd.adopt(&id);
        let found = drift_of_sleep(pid).await;
        let found: Vec<_> = found.iter().map(|drift| (drift.path.as_str(), drift.verdict)).collect();
        // A file that was put in the place of another is a new one where nothing shows the one below.
        let seen_as = |verdict| match verdict {
            Verdict::Modified if snapshotter == "native" => Verdict::New,
            verdict => verdict,
        };
        let wanted: Vec<_> = wanted.iter().map(|(path, verdict)| (*path, seen_as(*verdict))).collect();
        assert_eq!(found, wanted, "{name} on {snapshotter}");
        if wanted.is_empty() {
            clean.push(pid);
        }
    }
    pod.remove().await;
    running.end().await;
    let is_of = |event: &RuntimeEvent| {
        event.kind == EventKind::Drift
            && event.process.as_ref().is_some_and(|process| clean.contains(&process.pid))
    };
    let wrong: Vec<_> = stage.sandbox.accepted().into_iter().map(|found| found.event).filter(is_of).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether the root of the process is an overlay.
fn has_layers(pid: u32) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("runs");
    mounts.lines().any(|line| line.contains(" / / ") && line.contains(" - overlay "))
}

/// The files that run and are not the image's, once the container's shell has become `sleep`.
async fn drift_of_sleep(pid: u32) -> Vec<Drift> {
    within(async {
        // The shell's last argument is its script.
        let is_sleep = |line: &[u8]| line.split(|byte| *byte == 0).any(|word| word == b"sleep");
        while !is_sleep(&fs::read(format!("/proc/{pid}/cmdline")).expect("runs")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let tree = ProcTree::open("/proc").expect("this system has one");
    let inspector = ProcessInspector::new(tree, CollectOptions::default());
    let target = ProcessTarget { pid, ..ProcessTarget::default() };
    let facts = inspector.inspect(&target).expect("can be read");
    let found = inspector.drift(&facts).expect("can be compared");
    found.into_iter().filter(|drift| drift.verdict.is_drift()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_holds_on_the_installed_containerd_with_overlayfs() {
    check(Setup { programs: None, snapshotter: "overlayfs" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_holds_on_the_installed_containerd_with_native() {
    check(Setup { programs: None, snapshotter: "native" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_holds_on_the_built_containerd_with_overlayfs() {
    let Some(programs) = built() else { return };
    check(Setup { programs: Some(programs), snapshotter: "overlayfs" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_holds_on_the_built_containerd_with_native() {
    let Some(programs) = built() else { return };
    check(Setup { programs: Some(programs), snapshotter: "native" }).await;
}
