//! Entry traces of real containers.

use zastava_core::contract::{EventKind, Evidence, RuntimeEvent};
use zastava_core::vocabulary::Signal;

use super::harness::{BUSYBOX, begin, container_name};
use super::{FIRST, observe};

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
    let Some((stage, mut containerd)) = begin(FIRST).await else { return };
    let before = containerd.run(&container_name("before"), &WRAPPED);
    let mut running = observe(&stage, &containerd.socket());
    let listed = running.event(EventKind::ContainerStart, before).await;
    let after = containerd.run(&container_name("after"), &WRAPPED);
    let created = running.event(EventKind::ContainerStart, after).await;
    for event in [listed, created] {
        let wanted = [(None, "entrypoint", BUSYBOX), (Some(1), "exec", BUSYBOX)];
        assert_eq!(steps(&event), wanted, "{event:#?}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_the_images_is_told_as_drift() {
    let Some((stage, mut containerd)) = begin(FIRST).await else { return };
    let mut running = observe(&stage, &containerd.socket());
    let volume = stage.directory.path().join("volume");
    std::fs::create_dir(&volume).expect("can be made");
    std::fs::copy(BUSYBOX, volume.join("busybox")).expect("can be copied");
    let mount = format!("type=bind,src={},dst=/mnt,options=rbind:ro", volume.display());
    let arguments = ["/mnt/busybox", "sleep", "300"];
    let pid = containerd.run_with(&container_name("volume"), &["--mount", &mount], &arguments);
    let event = running.event(EventKind::Drift, pid).await;
    let [evidence] = &event.evidence[..] else { panic!("{event:#?}") };
    assert_eq!(evidence, &Evidence::new(Signal::ProcMountinfo, "volume: /mnt/busybox"));
    let delta = event.delta.as_ref().expect("has one");
    let [binary] = &delta.new_binaries[..] else { panic!("{event:#?}") };
    assert_eq!((binary.path.as_str(), binary.sha256.len()), ("/mnt/busybox", 64));
    // What is the image's own is none: a start of it is told, and nothing else.
    let own = containerd.run(&container_name("own"), &WRAPPED);
    running.event(EventKind::ContainerStart, own).await;
    let last = containerd.run(&container_name("last"), &WRAPPED);
    running.event(EventKind::ContainerStart, last).await;
    let drifts = running.seen().iter().filter(|event| event.kind == EventKind::Drift).count();
    assert_eq!(drifts, 1, "{:#?}", running.seen());
    running.end().await;
}
