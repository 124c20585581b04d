//! Admission of Pods, and the events about them.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::{Lab, eventually, run, text};
use crate::support::say;

/// From a container's start to its event at Scanner.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn unsigned_is_refused_with_reasons(lab: &Lab) {
    lab.step("an unsigned image is refused");
    let image = lab.unsigned.pinned();
    let error = lab.try_kubectl(&format!("run unsigned --image={image}")).expect_err("is refused");
    for part in [image.as_str(), "not signed", "(rule policy)", "Sign the image", "denied the request"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    say(&format!("   {}", error.trim()));
    lab.try_kubectl("get pod unsigned").expect_err("was not made");
}

pub(super) fn signed_runs_and_is_told(lab: &Lab) {
    lab.step("a signed image runs and is told");
    lab.kubectl(&format!("run signed --image={}", lab.signed.pinned()));
    lab.kubectl("wait pod/signed --for=condition=Ready --timeout=60s");
    let running = Instant::now();
    let event = eventually("the start", 30, || first(lab, "ContainerStart"));
    let took = running.elapsed();
    say(&format!("   Scanner held the start {} ms after kubectl saw the pod ready", took.as_millis()));
    assert!(took < TOLD_WITHIN, "took {took:?}");

    let workload = &event["workload"];
    say(&format!("   {event}"));
    assert_eq!((text(&workload["namespace"]), text(&workload["container"])), ("default", "signed"));
    assert_eq!(text(&workload["imageRef"]), lab.signed.pinned());
    let readelf = run(Command::new("readelf").args(["-n", "/bin/busybox"]));
    let id = readelf.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).expect("has an id");
    assert_eq!(text(&event["process"]["buildId"]), id, "what readelf -n prints for the image's program");

    lab.kubectl("delete pod signed --grace-period=1");
    let stop = eventually("the stop", 30, || first(lab, "ContainerStop"));
    assert_eq!(stop["workload"]["containerId"], workload["containerId"]);
}

fn first(lab: &Lab, kind: &str) -> Result<serde_json::Value, String> {
    let events = lab.events(kind, "signed")?;
    events.into_iter().next().ok_or_else(|| format!("no {kind}"))
}
