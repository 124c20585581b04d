//! How images are signed, asked from the sandbox's Scanner.

use std::time::Duration;

use zastava_core::contract::{EventKind, Posture};
use zastava_sandbox::{Fault, FaultKind, Route};

use super::harness::{BUSYBOX, Content, begin, container_name};
use crate::support::Running;

const IMAGE: Content = Content { file: "posture", label: "posture" };

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_scanner_and_the_next_one_has_the_answer() {
    let Some((stage, mut containerd)) = begin(IMAGE).await else { return };
    let settings = [("zastava.observer.engine", "containerd"), ("zastava.observer.posture.enabled", "true")];
    let mut running = Running::start(stage.options_at(&containerd.socket(), &settings));
    stage.sandbox.misbehave(Fault {
        route: Route::Policy,
        kind: FaultKind::Delay(Duration::from_secs(3)),
        times: 1,
    });
    let unsigned = Posture {
        image_signed: Some(false),
        sbom_referrer: Some("missing".to_owned()),
        ..Posture::default()
    };
    let first = containerd.run(&container_name("posture-first"), &[BUSYBOX, "sleep", "300"]);
    let start = running.event(EventKind::ContainerStart, first).await;
    assert_eq!(start.posture, None);
    let status = running.status(&start.workload).await;
    assert_eq!((&status.posture, &status.workload), (&Some(unsigned.clone()), &start.workload));
    assert_ne!(status.event_id, start.event_id);

    let second = containerd.run(&container_name("posture-second"), &[BUSYBOX, "sleep", "300"]);
    let start = running.event(EventKind::ContainerStart, second).await;
    assert_eq!(start.posture, Some(unsigned));
    assert_eq!(stage.sandbox.counts().policy_requests, 1);
    running.end().await;
}
