//! What a later look at a container finds.

use zastava_core::contract::EventKind;
use zastava_core::vocabulary::Signal;

use super::harness::{BUSYBOX, Content, begin, container_name};
use crate::support::Running;

const IMAGE: Content = Content { file: "later", label: "later" };

const SOON: [(&str, &str); 3] = [
    ("zastava.observer.engine", "containerd"),
    ("zastava.observer.collect.secondLookAfter", "2s"),
    ("zastava.observer.collect.thirdLookAfter", "5s"),
];

/// The main process goes on; a file that the image does not hold runs beside it, once the file `/go` is there.
const DROPS: &str = "while ! /bin/busybox test -e /go; do /bin/busybox sleep 0.05; done
/bin/busybox cp /bin/busybox /tmp/sleep; /tmp/sleep 300; true";

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_is_dropped_later_is_drift_of_the_process_that_runs_it() {
    let Some((stage, mut containerd)) = begin(IMAGE).await else { return };
    let mut running = Running::start(stage.options_at(&containerd.socket(), &SOON));
    let name = container_name("drops-later");
    let script = format!("/bin/busybox mkdir -p /tmp; {DROPS}");
    let pid = containerd.run(&name, &[BUSYBOX, "sh", "-c", &script]);
    let start = running.event(EventKind::ContainerStart, pid).await;
    std::fs::write(format!("/proc/{pid}/root/go"), "").expect("can be written");
    let drift = running.drift(&name, "/tmp/sleep").await;
    let delta = drift.delta.as_ref().expect("has one");
    assert_eq!(delta.new_binaries.len(), 1, "{delta:?}");
    assert!(start.workload.image_ref.as_deref().is_some_and(|image| {
        image.split_once('@').map(|(_, digest)| digest) == delta.baseline_image_digest.as_deref()
    }));
    // The process that runs it is the shell's child.
    let process = drift.process.as_ref().expect("has one");
    assert_ne!(process.pid, pid);
    assert_eq!(process.entrypoint, ["/tmp/sleep", "300"]);
    assert!(drift.when > start.when);
    assert_eq!(drift.evidence[0].signal, Signal::FileTimes, "{:?}", drift.evidence);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_deleted_while_it_runs_is_drift() {
    let Some((stage, mut containerd)) = begin(IMAGE).await else { return };
    let mut running = Running::start(stage.options_at(&containerd.socket(), &SOON));
    let name = container_name("deleted-later");
    let pid = containerd.run(&name, &[BUSYBOX, "sleep", "300"]);
    running.event(EventKind::ContainerStart, pid).await;
    std::fs::remove_file(format!("/proc/{pid}/root{BUSYBOX}")).expect("can be removed");
    let drift = running.drift(&name, BUSYBOX).await;
    assert_eq!(drift.process.as_ref().map(|process| process.pid), Some(pid));
    assert_eq!(drift.evidence[0].value, format!("deleted: {BUSYBOX}"));
    running.end().await;
}
