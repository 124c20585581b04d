//! Entry traces of real containers.

use zastava_core::contract::{EventKind, RuntimeEvent};

use super::harness::{BUSYBOX, Containerd, container_name, is_possible};
use super::{FIRST, observe};
use crate::support::Stage;

/// A shell that becomes another program.
const WRAPPED: [&str; 4] = [BUSYBOX, "sh", "-c", "cd /; exec busybox sleep 300"];

fn steps(event: &RuntimeEvent) -> Vec<(Option<u32>, &str, &str)> {
    let process = event.process.as_ref().expect("has a process");
    let steps = process.entry_trace.iter();
    steps
        .map(|step| (step.line, step.op.as_deref().unwrap_or(""), step.target.as_deref().unwrap_or("")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_traced_whether_its_creation_was_seen_or_not() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let mut containerd = Containerd::start(&stage.directory.path().join("containerd")).await;
    containerd.import(FIRST);
    let before = containerd.run(&container_name("before"), &WRAPPED);
    let mut running = observe(&stage, &containerd.socket());
    let listed = running.event(EventKind::ContainerStart, before).await;
    let after = containerd.run(&container_name("after"), &WRAPPED);
    let created = running.event(EventKind::ContainerStart, after).await;
    for event in [listed, created] {
        let wanted = [(None, "entrypoint", BUSYBOX), (Some(1), "exec", BUSYBOX)];
        assert_eq!(steps(&event), wanted, "{event:#?}");
        let provenance = event.annotations.get("provenance").map(String::as_str);
        assert_eq!(provenance, Some("observed"));
    }
    running.end().await;
}
