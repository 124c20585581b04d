//! Updates: what they leave alone is allowed before any bound applies, and of a Pod only what changes is judged.

use serde_json::{Value, json};
use zastava_admission::{FailOpen, Reviewer};
use zastava_core::contract::{Decision, PolicyVerdict};
use zastava_core::telemetry::Telemetry;

use super::reading::{KINDS, object};
use super::scanner::{
    FakeScanner, Mood, SIGNED, UNSIGNED, WARNED, create, decide, options, pinned, pod, pod_review, review,
    reviewer, update,
};

fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[key] = member;
    value
}

fn many_labels(count: usize) -> Value {
    (0..count).map(|number| (format!("label-{number}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

/// Objects that a review of a new one refuses for their size or for their words.
fn past_a_bound() -> Vec<(&'static str, Value)> {
    let containers = |count: usize| -> Vec<_> {
        (0..count)
            .map(|n| json!({"name": format!("c{n}"), "image": format!("registry.example/a{n}:1")}))
            .collect()
    };
    let with_labels = |labels: Value| with(pod(&[UNSIGNED]), "/metadata/labels", labels);
    vec![
        ("300 labels", with_labels(many_labels(300))),
        ("labels of a megabyte", with_labels(json!({"app": "x".repeat(1 << 20)}))),
        ("257 images", with(pod(&[]), "/spec/containers", json!(containers(257)))),
        ("5000 images", with(pod(&[]), "/spec/containers", json!(containers(5000)))),
        ("a reference of 64 KiB", pod(&[&format!("registry.example/{}", "a".repeat(64 << 10))])),
        ("a malformed reference", pod(&["registry.example/UPPER/a"])),
        ("another hash", pod(&[&format!("registry.example/a@sha512:{}", "1".repeat(128))])),
        ("an image ID", pod(&[&format!("sha256:{}", "1".repeat(64))])),
        (
            "a container without an image",
            with(pod(&[SIGNED]), "/spec/initContainers", json!([{"name": "x"}])),
        ),
        ("an unsigned image", pod(&[UNSIGNED])),
    ]
}

#[tokio::test]
async fn update_that_changes_no_image_is_allowed_whatever_the_object_is() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let reviewer = reviewer(&scanner);
    for (what, old) in past_a_bound() {
        assert_eq!(decide(&reviewer, &create("", "Pod", &old)).await, Decision::Deny, "{what}");
        for (change, pointer, member) in [
            ("loses its finalizer", "/metadata/finalizers", json!([])),
            ("gets a label", "/metadata/annotations", json!({"a": "b"})),
            ("is scaled by patch", "/spec/replicas", json!(3)),
        ] {
            let asked = scanner.requests().len();
            let new = with(old.clone(), pointer, member);
            let (reviewed, _) = review(&reviewer, &update("", "Pod", &old, &new)).await;
            assert_eq!(reviewed.decision().decision, Decision::Allow, "{what} {change}");
            assert_eq!(reviewed.decision().annotations["source"], "unchanged", "{what} {change}");
            assert_eq!(scanner.requests().len(), asked);
        }
    }
}

#[tokio::test]
async fn every_kind_can_be_updated_past_the_bounds() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let reviewer = reviewer(&scanner);
    for (group, kind, path) in KINDS {
        for (what, with_bound) in past_a_bound() {
            let mut old = object(kind, path, &with_bound["spec"]);
            let metadata = path.trim_end_matches("/spec").to_owned() + "/metadata";
            old = with(old, &metadata, with_bound["metadata"].clone());
            let new = with(old.clone(), "/metadata/annotations", json!({"a": "b"}));
            assert_eq!(
                decide(&reviewer, &update(group, kind, &old, &new)).await,
                Decision::Allow,
                "{kind} {what}"
            );
        }
    }
    assert!(scanner.requests().is_empty());
}

/// One image more, less or another among thousands is a change.
#[tokio::test]
async fn change_among_many_images_is_seen() {
    let containers = |count: usize, changed: Option<usize>| -> Value {
        let name = |n: usize| if Some(n) == changed { "other".to_owned() } else { format!("a{n}") };
        let containers: Vec<_> =
            (0..count).map(|n| json!({"image": format!("registry.example/{}:1", name(n))})).collect();
        with(pod(&[]), "/spec/containers", json!(containers))
    };
    let reviewer = reviewer(&FakeScanner::demo());
    let old = containers(5000, None);
    for (new, expected) in [
        (containers(5000, None), Decision::Allow),
        (containers(4999, None), Decision::Deny),
        (containers(5001, None), Decision::Deny),
        (containers(5000, Some(0)), Decision::Deny),
        (containers(5000, Some(4999)), Decision::Deny),
    ] {
        assert_eq!(decide(&reviewer, &update("", "Pod", &old, &new)).await, expected);
    }
}

fn debug(old: &[&str], image: &str) -> Value {
    let old = pod(old);
    let new = with(old.clone(), "/spec/ephemeralContainers", json!([{"name": "debugger", "image": image}]));
    with(update("", "Pod", &old, &new), "/request/subResource", json!("ephemeralcontainers"))
}

/// `kubectl debug` of a Pod whose own image has turned bad since.
#[tokio::test]
async fn of_a_pod_only_what_changes_is_judged_and_the_rest_is_a_warning() {
    let unknown = pinned("registry.sandbox.local/demo/unknown", '7');
    for (old, image, expected, warned) in [
        (&[UNSIGNED][..], SIGNED, Decision::Allow, Some(UNSIGNED)),
        (&[UNSIGNED, SIGNED], SIGNED, Decision::Allow, Some(UNSIGNED)),
        (&[SIGNED], SIGNED, Decision::Allow, None),
        (&[WARNED], SIGNED, Decision::Allow, Some(WARNED)),
        (&[&unknown], SIGNED, Decision::Allow, Some(&unknown)),
        (&["registry.example/UPPER"], SIGNED, Decision::Allow, Some("registry.example/UPPER")),
        (&[SIGNED], UNSIGNED, Decision::Deny, None),
        (&[UNSIGNED], UNSIGNED, Decision::Deny, None),
        (&[UNSIGNED], &unknown, Decision::Deny, Some(UNSIGNED)),
    ] {
        let (reviewed, response) = review(&reviewer(&FakeScanner::demo()), &debug(old, image)).await;
        assert_eq!(reviewed.decision().decision, expected, "{old:?} {image}");
        let warning = response["warnings"][0].as_str();
        assert_eq!(warning.is_some(), warned.is_some(), "{old:?} {image} {warning:?}");
        if let (Some(warning), Some(named)) = (warning, warned) {
            let name = named.split('@').next().unwrap();
            assert!(warning.contains(name) && warning.contains("runs already"), "{warning}");
        }
        let kept_badly = warned.is_some_and(|named| named != WARNED);
        assert_eq!(response["auditAnnotations"].get("kept").is_some(), kept_badly, "{old:?} {image}");
    }
    // Scanner's verdict stands in the decision line as it is.
    let (reviewed, _) = review(&reviewer(&FakeScanner::demo()), &debug(&[UNSIGNED], SIGNED)).await;
    let verdicts: Vec<_> = reviewed.decision().images.iter().map(|image| image.policy_verdict).collect();
    assert_eq!(verdicts, [PolicyVerdict::Fail, PolicyVerdict::Pass]);
}

/// A template starts new Pods with all its images, and a running Pod's image may be in one place only.
#[tokio::test]
async fn what_starts_anew_is_judged_whole() {
    let deployment = |images: &[&str]| object("Deployment", "/spec/template/spec", &pod(images)["spec"]);
    let moved = with(pod(&[SIGNED]), "/spec/initContainers", json!([{"name": "x", "image": UNSIGNED}]));
    for request in [
        update("apps", "Deployment", &deployment(&[UNSIGNED, WARNED]), &deployment(&[UNSIGNED, SIGNED])),
        update("", "Pod", &pod(&[UNSIGNED]), &moved),
        update("", "Pod", &pod(&[UNSIGNED, SIGNED]), &pod(&[UNSIGNED, UNSIGNED])),
        create("", "Pod", &pod(&[UNSIGNED])),
        with(
            update("", "Pod", &pod(&[UNSIGNED]), &pod(&[UNSIGNED, SIGNED])),
            "/request/operation",
            json!("CREATE"),
        ),
    ] {
        assert_eq!(decide(&reviewer(&FakeScanner::demo()), &request).await, Decision::Deny, "{request}");
    }
    let replaced = update("", "Pod", &pod(&[UNSIGNED, UNSIGNED]), &pod(&[UNSIGNED, SIGNED]));
    assert_eq!(decide(&reviewer(&FakeScanner::demo()), &replaced).await, Decision::Allow);
}

/// A label is no image: a Pod can be taken out of its Service although its image has turned bad. The audit log shows it.
#[tokio::test]
async fn relabelled_pod_is_allowed_and_the_audit_log_says_so() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let reviewer = reviewer(&scanner);
    let old =
        with(pod(&[UNSIGNED]), "/metadata/labels", json!({"team": "lenient", "pod-template-hash": "1"}));
    for (labels, relabelled) in [
        (json!({"team": "lenient", "pod-template-hash": "1"}), false),
        // Controllers write this one, and no policy source is sent it.
        (json!({"team": "lenient", "pod-template-hash": "2"}), false),
        (json!({"team": "strict", "pod-template-hash": "1"}), true),
        (json!({"pod-template-hash": "1"}), true),
        (many_labels(300), true),
    ] {
        let new = with(old.clone(), "/metadata/labels", labels.clone());
        let (reviewed, response) = review(&reviewer, &update("", "Pod", &old, &new)).await;
        assert_eq!(reviewed.decision().decision, Decision::Allow, "{labels}");
        assert_eq!(reviewed.decision().annotations.contains_key("relabelled"), relabelled, "{labels}");
        assert_eq!(response["auditAnnotations"].get("relabelled").is_some(), relabelled, "{labels}");
        // Together with an image it is judged under the new labels.
        let image = with(new, "/spec/containers/0/image", json!(pinned("registry.example/a", '8')));
        let asked = scanner.requests().len();
        assert_eq!(decide(&reviewer, &update("", "Pod", &old, &image)).await, Decision::Deny);
        assert!(scanner.requests().len() == asked + 1 || labels.as_object().unwrap().len() > 256);
    }
    let template = |labels: Value| {
        let object = object("Deployment", "/spec/template/spec", &pod(&[UNSIGNED])["spec"]);
        with(object, "/spec/template/metadata", json!({"labels": labels}))
    };
    let request = update("apps", "Deployment", &template(json!({"a": "1"})), &template(json!({"a": "2"})));
    let (reviewed, _) = review(&reviewer, &request).await;
    assert!(
        !reviewed.decision().annotations.contains_key("relabelled"),
        "its Pods are judged when they are made"
    );
}

/// An author can name what is not there yet, and fill it afterwards. Scanner has answered: that is not its silence.
#[tokio::test]
async fn image_without_a_verdict_in_an_answer_is_denied_where_the_namespace_fails_open() {
    for (mood, on_errors, expected) in [
        (Mood::Answers, false, Decision::Deny),
        (Mood::Evades, false, Decision::Deny),
        (Mood::Refuses, false, Decision::Allow),
        (Mood::Answers, true, Decision::Allow),
        (Mood::Evades, true, Decision::Allow),
        (Mood::Refuses, true, Decision::Allow),
    ] {
        let tag = "registry.sandbox.local/demo/not-there-yet:1";
        for image in [tag, &pinned("registry.sandbox.local/demo/not-there-yet", '9')] {
            let scanner = FakeScanner::new(&[(image, PolicyVerdict::Error), (SIGNED, PolicyVerdict::Pass)]);
            scanner.mood(mood);
            let options = options(|options| {
                options.fail_open_namespaces = vec![FailOpen { name: "shop".to_owned(), until: None }];
                options.fail_open_on_errors = on_errors;
            });
            let reviewer = Reviewer::new(options, scanner, &Telemetry::detached());
            let (reviewed, response) = review(&reviewer, &pod_review(&[SIGNED, image])).await;
            let decision = reviewed.decision();
            assert_eq!(decision.decision, expected, "{mood:?} {on_errors} {image}");
            if expected == Decision::Deny {
                assert_eq!(decision.annotations["rule"], "no-image-verdict");
                assert_eq!(decision.annotations["source"], "backend");
                assert!(
                    response["status"]["message"]
                        .as_str()
                        .unwrap()
                        .contains(image.split(['@', ':']).next().unwrap())
                );
                assert_eq!(decision.images[1].policy_verdict, PolicyVerdict::Error, "the wire's word stays");
            }
        }
    }
}
