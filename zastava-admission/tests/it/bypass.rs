//! What has let unchecked images past other webhooks, and what must never be held up.

use serde_json::{Value, json};
use zastava_admission::ImageField;
use zastava_core::contract::{Decision, PolicyVerdict};

use super::reading::{object, spec_with};
use super::scanner::{
    FakeScanner, Mood, SIGNED, UNSIGNED, create, decide, labels, options, pinned, pod, pod_review, review,
    reviewer, update,
};
use zastava_admission::{FailOpen, Reviewer};
use zastava_core::telemetry::Telemetry;

fn with(mut review: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    review.pointer_mut(parent).unwrap()[key] = value;
    review
}

/// The table: a name, and a review that tries to get the unsigned image in.
fn attempts() -> Vec<(&'static str, Value)> {
    let good = pod(&[SIGNED]);
    let bad = pod(&[UNSIGNED]);
    let deployment = |image: &str, replicas: u64| {
        let mut object =
            object("Deployment", "/spec/template/spec", &spec_with(ImageField::Container, image));
        object["spec"]["replicas"] = replicas.into();
        object
    };
    let debugged = object("Pod", "/spec", &spec_with(ImageField::EphemeralContainer, UNSIGNED));
    let mounted = object("Pod", "/spec", &spec_with(ImageField::Volume, UNSIGNED));
    let swapped_field = object(
        "Pod",
        "/spec",
        &json!({
        "containers": [{"image": UNSIGNED}, {"image": SIGNED}, {"image": SIGNED}]}),
    );
    let before_swap = object(
        "Pod",
        "/spec",
        &json!({
        "containers": [{"image": UNSIGNED}, {"image": UNSIGNED}, {"image": SIGNED}]}),
    );
    vec![
        ("the one mutable image field of a live pod", update("", "Pod", &good, &bad)),
        (
            "an ephemeral container through its subresource",
            with(update("", "Pod", &good, &debugged), "/request/subResource", "ephemeralcontainers".into()),
        ),
        ("an image volume", create("", "Pod", &mounted)),
        (
            "forged owner references",
            with(
                create("", "Pod", &bad),
                "/request/object/metadata/ownerReferences",
                json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true}]),
            ),
        ),
        (
            "a deletion timestamp held by a finalizer",
            with(
                update("", "Pod", &good, &with(bad.clone(), "/metadata/finalizers", json!(["a/b"]))),
                "/request/object/metadata/deletionTimestamp",
                "2026-01-01T00:00:00Z".into(),
            ),
        ),
        (
            "an image swapped together with a scale-down",
            update("apps", "Deployment", &deployment(SIGNED, 5), &deployment(UNSIGNED, 1)),
        ),
        ("a workload of no replicas", create("apps", "Deployment", &deployment(UNSIGNED, 0))),
        (
            "a resize that changes an image",
            with(update("", "Pod", &good, &bad), "/request/subResource", "resize".into()),
        ),
        (
            "a status update that changes an image",
            with(update("", "Pod", &good, &bad), "/request/subResource", "status".into()),
        ),
        (
            "a scale subresource on a pod",
            with(update("", "Pod", &good, &bad), "/request/subResource", "scale".into()),
        ),
        ("an update that names an image less often", update("", "Pod", &before_swap, &swapped_field)),
        ("an update without an old object", update("", "Pod", &Value::Null, &bad)),
        ("an update with an old object that cannot be read", update("", "Pod", &json!({"spec": 1}), &bad)),
        (
            "a container moved to the init containers",
            update("", "Pod", &bad, &object("Pod", "/spec", &spec_with(ImageField::InitContainer, UNSIGNED))),
        ),
        (
            "a mirror pod",
            with(
                create("", "Pod", &bad),
                "/request/object/metadata/annotations",
                json!({"kubernetes.io/config.mirror": "x"}),
            ),
        ),
        (
            "an exemption label of the tenant's own",
            with(
                create("", "Pod", &bad),
                "/request/object/metadata/labels",
                json!({"zastava.io/skip": "true", "admission": "ignore"}),
            ),
        ),
        ("a system namespace", with(create("", "Pod", &bad), "/request/namespace", "kube-system".into())),
        ("no namespace", with(create("", "Pod", &bad), "/request/namespace", Value::Null)),
        (
            "a cluster administrator",
            with(
                create("", "Pod", &bad),
                "/request/userInfo",
                json!({"username": "admin", "groups": ["system:masters"]}),
            ),
        ),
        ("a dry run", with(create("", "Pod", &bad), "/request/dryRun", true.into())),
        ("a tag in front of the digest", pod_review(&[&UNSIGNED.replace('@', ":signed@")])),
        ("a digest in upper case", pod_review(&[&pinned("registry.sandbox.local/demo/signed", 'A')])),
        (
            "another hash",
            pod_review(&[&format!("registry.sandbox.local/demo/signed@sha512:{}", "1".repeat(128))]),
        ),
        (
            "a registry that only starts alike",
            pod_review(&[&pinned("registry.sandbox.local.evil.example/demo/signed", '5')]),
        ),
        (
            "a repository that only starts alike",
            pod_review(&[&pinned("registry.sandbox.local/demo/signed-not", '5')]),
        ),
        ("a slash at the end", pod_review(&["registry.sandbox.local/demo/signed/"])),
        ("a port that is no tag", pod_review(&["registry.sandbox.local:5000/demo/signed"])),
        ("the implicit registry", pod_review(&["demo/signed"])),
        ("spaces around", pod_review(&[&format!(" {SIGNED} ")])),
        ("a second digest", pod_review(&[&format!("{SIGNED}@sha256:{}", "2".repeat(64))])),
        ("a blank image in a pod", pod_review(&[SIGNED, ""])),
        ("white space for an image", pod_review(&[" "])),
        (
            "a container without an image",
            with(pod_review(&[SIGNED]), "/request/object/spec/initContainers", json!([{"name": "x"}])),
        ),
        (
            "an image volume without a reference",
            with(pod_review(&[SIGNED]), "/request/object/spec/volumes", json!([{"image": {}}])),
        ),
    ]
}

#[tokio::test]
async fn no_bypass_admits() {
    for (name, attempt) in attempts() {
        let scanner = FakeScanner::demo();
        let reviewer = reviewer(&scanner);
        // A warm cache must not help either.
        assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
        assert_eq!(decide(&reviewer, &attempt).await, Decision::Deny, "{name}");
    }
}

#[tokio::test]
async fn what_is_known_to_be_bad_is_denied_where_the_unknown_is_not() {
    for (name, attempt) in attempts() {
        let options = options(|options| {
            options.fail_open_by_default = true;
            options.fail_open_namespaces = vec![FailOpen { name: "shop".to_owned(), until: None }];
        });
        let reviewer = Reviewer::new(options, FakeScanner::demo(), &Telemetry::detached());
        assert_eq!(decide(&reviewer, &attempt).await, Decision::Deny, "{name}");
    }
}

#[tokio::test]
async fn namespace_of_the_object_does_not_choose_the_failure_mode() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let options = options(|options| {
        options.fail_open_namespaces = vec![FailOpen { name: "open".to_owned(), until: None }];
    });
    let reviewer = Reviewer::new(options, scanner, &Telemetry::detached());
    let attempt = with(pod_review(&[UNSIGNED]), "/request/object/metadata/namespace", "open".into());
    assert_eq!(decide(&reviewer, &attempt).await, Decision::Deny);
    for name in ["OPEN", "open ", "open\u{0}", ""] {
        let attempt = with(pod_review(&[UNSIGNED]), "/request/namespace", name.into());
        assert_eq!(decide(&reviewer, &attempt).await, Decision::Deny, "{name:?}");
    }
}

#[tokio::test]
async fn moved_tag_is_judged_anew() {
    let tagged = "registry.sandbox.local/demo/app:v1";
    let scanner = FakeScanner::new(&[(tagged, PolicyVerdict::Pass)]);
    let reviewer = reviewer(&scanner);
    assert_eq!(decide(&reviewer, &pod_review(&[tagged])).await, Decision::Allow);
    scanner.change(|answer| answer.results.clear());
    assert_eq!(decide(&reviewer, &pod_review(&[tagged])).await, Decision::Deny);
    assert_eq!(scanner.requests().len(), 2);
}

#[tokio::test]
async fn remembered_verdict_serves_nobody_else() {
    let scanner = FakeScanner::demo();
    let reviewer = reviewer(&scanner);
    let request = pod_review(&[SIGNED]);
    assert_eq!(decide(&reviewer, &request).await, Decision::Allow);
    scanner.mood(Mood::Refuses);
    assert_eq!(decide(&reviewer, &request).await, Decision::Allow, "the same question");
    for (pointer, value) in [
        ("/request/namespace", json!("other")),
        ("/request/object/metadata/labels", json!({"app": "other"})),
        ("/request/object/metadata/labels", json!({})),
        (
            "/request/object/spec/containers",
            json!([{"image": pinned("registry.sandbox.local/demo/other", '1')}]),
        ),
        (
            "/request/object/spec/containers",
            json!([{"image": pinned("registry.sandbox.local/demo/signed", '4')}]),
        ),
    ] {
        let other = with(request.clone(), pointer, value);
        assert_eq!(decide(&reviewer, &other).await, Decision::Deny, "{pointer}");
    }
}

#[tokio::test]
async fn labels_that_controllers_invent_are_neither_told_nor_remembered() {
    let scanner = FakeScanner::demo();
    let reviewer = reviewer(&scanner);
    for hash in ["5d59d67564", "7c9b8d4f5b"] {
        let labels = json!({"app": "web", "pod-template-hash": hash, "controller-uid": hash});
        let request = with(pod_review(&[SIGNED]), "/request/object/metadata/labels", labels);
        assert_eq!(decide(&reviewer, &request).await, Decision::Allow);
    }
    let [asked] = &scanner.requests()[..] else { panic!("one question") };
    assert_eq!(asked.labels, labels(&[("app", "web")]));
}

#[tokio::test]
async fn maintenance_needs_no_scanner() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let reviewer = reviewer(&scanner);
    let old = with(pod(&[UNSIGNED, SIGNED, "nginx"]), "/metadata/finalizers", json!(["example.com/a"]));
    let deployment = |replicas: u64| {
        let mut object =
            object("Deployment", "/spec/template/spec", &spec_with(ImageField::Container, UNSIGNED));
        object["spec"]["replicas"] = replicas.into();
        object
    };
    let changed = |pointer: &str, value: Value| update("", "Pod", &old, &with(old.clone(), pointer, value));
    for (name, request) in [
        ("finalizer removed", changed("/metadata/finalizers", json!([]))),
        ("label edited", changed("/metadata/labels", json!({"app": "web2"}))),
        ("annotation edited", changed("/metadata/annotations", json!({"note": "x"}))),
        (
            "status",
            with(changed("/status", json!({"phase": "Running"})), "/request/subResource", "status".into()),
        ),
        (
            "resize",
            with(
                changed("/spec/containers/0/resources", json!({"limits": {"cpu": "2"}})),
                "/request/subResource",
                "resize".into(),
            ),
        ),
        (
            "containers in another order",
            update("", "Pod", &pod(&[UNSIGNED, SIGNED]), &pod(&[SIGNED, UNSIGNED])),
        ),
        ("scaled down", update("apps", "Deployment", &deployment(5), &deployment(1))),
    ] {
        let (reviewed, _) = review(&reviewer, &request).await;
        let decision = reviewed.decision.decision;
        assert_eq!(decision.decision, Decision::Allow, "{name}");
        assert_eq!(decision.annotations["source"], "unchanged", "{name}");
        assert!(decision.pod_spec_digest.is_some());
    }
    assert!(scanner.requests().is_empty());
}
