//! What has let unchecked images past other webhooks, and what must never be held up.

use std::collections::BTreeMap;

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

/// An attempt of `tests/data/bypasses.json` to get the unsigned image in. `$SIGNED` and `$UNSIGNED` are
/// the images of the fake Scanner, and `$` with a digit stands for that digit 64 times.
#[derive(serde::Deserialize)]
struct Attempt {
    #[serde(rename = "attempt")]
    name: String,
    /// The images of the old Pod, when the review is an update.
    was: Option<Vec<String>>,
    /// The images of the Pod.
    images: Vec<String>,
    /// What else is changed in the review: JSON pointers and values.
    #[serde(default)]
    set: BTreeMap<String, Value>,
}

impl Attempt {
    fn review(&self) -> Value {
        let pod = |images: &[String]| pod(&images.iter().map(String::as_str).collect::<Vec<_>>());
        let review = match &self.was {
            Some(was) => update("", "Pod", &pod(was), &pod(&self.images)),
            None => create("", "Pod", &pod(&self.images)),
        };
        self.set.iter().fold(review, |review, (pointer, value)| with(review, pointer, value.clone()))
    }
}

fn attempts() -> Vec<(String, Value)> {
    let mut text = include_str!("../data/bypasses.json").replace("$SIGNED", SIGNED);
    text = text.replace("$UNSIGNED", UNSIGNED);
    for digit in ["1", "2", "5", "A"] {
        text = text.replace(&format!("${digit}"), &digit.repeat(64));
    }
    let attempts: Vec<Attempt> = serde_json::from_str(&text).unwrap();
    assert_eq!(attempts.len(), 34);
    attempts.into_iter().map(|attempt| (attempt.name.clone(), attempt.review())).collect()
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
async fn no_bypass_admits_in_a_namespace_that_fails_open() {
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
async fn generated_labels_are_neither_sent_nor_part_of_the_key() {
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
        let decision = reviewed.decision();
        assert_eq!(decision.decision, Decision::Allow, "{name}");
        assert_eq!(decision.annotations["source"], "unchanged", "{name}");
        assert!(decision.pod_spec_digest.is_some());
    }
    assert!(scanner.requests().is_empty());
}
