//! Admission of Pods, and the events about them.

use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, NAMESPACE, eventually, run, text};
use crate::support::say;

pub(super) fn unsigned_is_refused_with_reasons(lab: &Lab) {
    lab.step("an unsigned image is refused");
    let image = lab.unsigned.pinned();
    let error = lab.try_kubectl(&format!("run unsigned --image={image}")).expect_err("is refused");
    for part in [image.as_str(), "not signed", "(rule policy)", "Sign the image", "denied the request"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    say(&format!("   {}", error.trim()));
    lab.try_kubectl("get pod unsigned").expect_err("was not made");
    let decision = decision_of(lab, &error);
    assert_eq!(text(&decision["annotations"]["name"]), "unsigned");
    assert!(lab.pods("webhook").iter().any(|pod| *pod == text(&decision["annotations"]["replica"])));

    let tag = lab.unsigned.reference();
    let error = lab.try_kubectl(&format!("run by-tag --image={tag}")).expect_err("is refused");
    assert!(error.contains(&format!("image {tag} has a tag and no digest: ")), "{error}");
}

/// The line of the decision whose id the denial ends with.
fn decision_of(lab: &Lab, denial: &str) -> Value {
    let id = denial.split("Decision ").nth(1).unwrap_or_else(|| panic!("names no decision: {denial}"));
    let id = id.split('.').next().unwrap_or_default();
    // The autoscaler may just have asked for one more, which has no log yet.
    let logs = lab.kubectl(&format!(
        "-n {NAMESPACE} logs -l app=zastava-webhook --tail=-1 --max-log-requests=20 --ignore-errors"
    ));
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut decisions = lines.map(|line| line["decision"].clone());
    let found = decisions.find(|decision| decision["admissionId"] == id);
    let found = found.unwrap_or_else(|| panic!("no line has the id {id}"));
    assert!(found["annotations"]["time"].is_string() && found["annotations"]["user"].is_string(), "{found}");
    found
}

pub(super) fn signed_runs_and_is_told(lab: &Lab) {
    lab.step("a signed image runs and is told");
    lab.kubectl(&format!("run signed --image={}", lab.signed.pinned()));
    lab.kubectl("wait pod/signed --for=condition=Ready --timeout=60s");
    let event = eventually("the start", 30, || first(lab, "ContainerStart", "signed"));

    let workload = &event["workload"];
    say(&format!("   {event}"));
    assert_eq!((text(&workload["namespace"]), text(&workload["container"])), ("default", "signed"));
    assert_eq!(text(&workload["imageRef"]), lab.signed.pinned());
    assert_eq!(text(&event["process"]["buildId"]), busybox_build_id());

    lab.kubectl("delete pod signed --grace-period=1");
    let stop = eventually("the stop", 30, || first(lab, "ContainerStop", "signed"));
    assert_eq!(stop["workload"]["containerId"], workload["containerId"]);
}

/// What `readelf -n` prints for the program of the tests' images.
pub(super) fn busybox_build_id() -> String {
    let notes = run(Command::new("readelf").args(["-n", "/bin/busybox"]));
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    id.expect("has an id").to_owned()
}

/// The first accepted event of a pod, of one kind.
pub(super) fn first(lab: &Lab, kind: &str, pod: &str) -> Result<Value, String> {
    let events = lab.events(kind, pod)?;
    events.into_iter().next().ok_or_else(|| format!("no {kind} of {pod}"))
}
