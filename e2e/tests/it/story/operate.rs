//! Upgrades, rollback, and the commands of incidents.

use super::client::Client;
use super::install::issued;
use crate::lab::{Lab, NAMESPACE, NEXT_TAG, eventually, text};

pub(super) fn upgrade_and_rollback_lose_no_review(lab: &Lab) {
    let client = Client::start(lab);
    lab.step("section 2.2: scale, drain, upgrade");
    let written = lab.runbook("2.2").join("\n");
    assert!(
        written.contains("denied the request")
            && written.contains("pod/zastava-smoke created (server dry run)")
    );
    assert_eq!(images(lab), [NEXT_TAG; 2], "the new release runs");

    lab.step("section 2.3: rollback, tokens");
    let written = lab.runbook("2.3");
    assert!(written.iter().any(|text| text.contains("zastava_runtime_events_total{")), "{written:?}");
    assert_eq!(images(lab), ["0.1.0"; 2], "the old release runs");
    let values = std::fs::read_to_string(lab.desk.join("values/zastava-runtime.yaml")).expect("is there");
    assert!(values.contains("\n  tag: \"0.1.0\"\n"), "the next upgrade leaves it so: {values}");
    client.stop(lab, "upgrade and rollback");

    // Programs refresh their tokens all the time. Only the command gives a refresh this cause.
    let pod = lab.pods("webhook").remove(0);
    let invalidated =
        || lab.kubectl(&format!("-n {NAMESPACE} logs {pod}")).matches(r#""cause":"invalidated""#).count();
    let before = invalidated();
    let answer = lab.shell(&format!(
        "kubectl -n {NAMESPACE} exec {pod} -- zastava-webhook invalidate-op-token --audience scanner"
    ));
    assert_eq!(answer.status.code(), Some(0), "{}", crate::lab::both(&answer));
    eventually("a new token", 10, || {
        let now = invalidated();
        if now > before { Ok(()) } else { Err(format!("{now} as before")) }
    });
    lab.kubectl(&format!("run after-rollback --image={}", lab.signed.pinned()));
    eventually("its event", 30, || {
        lab.events("ContainerStart", "after-rollback")?.pop().ok_or_else(|| "not yet".to_owned())
    });
    lab.kubectl("delete pod after-rollback --grace-period=1");
}

pub(super) fn images_are_those_of_the_digests(lab: &Lab) {
    lab.step("section 2.4: images by digest");
    let written = lab.runbook("2.4").join("\n");
    for image in lab.images["images"].as_array().expect("has images") {
        let (name, pinned) = (text(&image["name"]), text(&image["pinned"]));
        assert_eq!(written.contains(pinned), name != "zastava-sandbox", "{pinned} of {name}: {written}");
    }
}

pub(super) fn guardrails_are_seen(lab: &Lab) {
    lab.step("section 3");
    // A pod that finds a valid token on its node's disk asks for none until that is half over.
    for pod in lab.pods("observer") {
        eventually("an OpTok", 60, || issued(lab, &pod).map(|_| ()));
    }
    let written = lab.runbook("3");
    assert!(written[0].contains("Issued runtime OpTok"));
    assert_eq!(written[1].trim(), "1", "the key's revision");
}

/// The sections whose commands change nothing, or change it back.
pub(super) fn incidents_and_symbols(lab: &Lab) {
    // `kubectl logs` may list a pod that an earlier part replaced, and find it gone.
    eventually("the end of pods on their way out", 120, || {
        let pods = lab.object(&format!("-n {NAMESPACE} pods"));
        let pods = pods["items"].as_array().into_iter().flatten();
        match pods.filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).count() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    });
    for section in ["4.2", "4.3", "5", "6", "7"] {
        lab.step(&format!("section {section}"));
        if section == "4.3" {
            lab.try_kubectl(&format!("run denied --image={}", lab.unsigned.pinned())).expect_err("is denied");
        }
        if section == "4.3" {
            one_namespace_is_let_through(lab);
            continue;
        }
        let written = lab.runbook(section).join("\n");
        match section {
            "6" => assert!(written.contains("SUCCESS"), "{written}"),
            "7" => assert!(written.contains("Build ID"), "{written}"),
            _ => {}
        }
    }
}

/// Section 4.3: denials are found, and do nothing in one namespace for a time.
fn one_namespace_is_let_through(lab: &Lab) {
    let unsigned = |namespace: &str| {
        let image = lab.unsigned.pinned();
        let told =
            lab.shell(&format!("kubectl -n {namespace} run unsigned --image={image} --dry-run=server"));
        if told.status.success() { Ok(crate::lab::both(&told)) } else { Err(crate::lab::both(&told)) }
    };
    lab.runbook_step_by_step("4.3", |number, written| match number {
        1 => assert!(
            written.contains(r#""name":"denied""#) && written.contains(r#"["not signed"]"#),
            "{written}"
        ),
        3 => assert!(written.contains("1 allowed, 0 denied"), "{written}"),
        4 => {
            let missing = "WARNING: the values name the namespace batch, which does not exist.";
            assert!(written.contains(missing), "{written}");
            lab.kubectl("create namespace batch");
            let told = eventually("a denial that only warns", 30, || unsigned("batch"));
            assert!(told.contains("Warning:") && told.contains("not signed"), "{told}");
            unsigned("default").expect_err("the others are judged as ever");
        }
        5 => assert!(written.contains("OPS-17") && written.contains("in effect"), "{written}"),
        6 => {
            eventually("a denial again", 30, || match unsigned("batch") {
                Err(told) if told.contains("denied the request") => Ok(()),
                other => Err(format!("{other:?}")),
            });
            lab.kubectl("delete namespace batch --wait=false");
        }
        _ => {}
    });
}

/// The tags that the two parts run.
fn images(lab: &Lab) -> [String; 2] {
    ["ds/zastava-observer", "deploy/zastava-webhook"].map(|name| {
        let path = "{.spec.template.spec.containers[0].image}";
        let image = lab.kubectl(&format!("-n {NAMESPACE} get {name} -o jsonpath={path}"));
        image.rsplit_once(':').expect("has a tag").1.to_owned()
    })
}
