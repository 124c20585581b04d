//! The entrypoint in three values, and a main program that is not the one that the specification leads to.

use zastava_core::contract::{EventKind, RuntimeEvent};

use super::harness::{BUSYBOX, Content, begin, container_name};
use crate::support::Running;

const IMAGE: Content = Content { file: "entrypoint", label: "entrypoint" };

fn words(event: &RuntimeEvent, annotation: &str) -> Vec<String> {
    serde_json::from_str(&event.annotations[annotation]).expect("is an array of words")
}

#[tokio::test(flavor = "multi_thread")]
async fn image_specification_and_process_each_have_their_entrypoint() {
    let Some((stage, mut containerd)) = begin(IMAGE).await else { return };
    let settings = [("zastava.observer.engine", "containerd")];
    let mut running = Running::start(stage.options_at(&containerd.socket(), &settings));
    // A wrapper that is followed, and one that starts what an argument names, are no drift.
    let wrapped = [BUSYBOX, "sh", "-c", "exec /bin/busybox sleep 301"];
    let pid = containerd.run(&container_name("three-values"), &wrapped);
    let start = running.event(EventKind::ContainerStart, pid).await;
    assert_eq!(words(&start, "imageEntrypoint"), [BUSYBOX, "sleep", "300"]);
    assert_eq!(start.process.as_ref().expect("has one").entrypoint, wrapped);
    // On a busy machine the OCI runtime may not have executed the program when the start is told.
    if start.annotations["provenance"] == "observed" {
        let observed = words(&start, "observedEntrypoint");
        assert!(observed == [BUSYBOX, "sleep", "301"] || observed == wrapped, "{observed:?}");
    } else {
        assert!(!start.annotations.contains_key("observedEntrypoint"), "{start:#?}");
    }
    let end = running.end().await;
    assert_eq!(end.observed, 1, "{end:?}");
}
