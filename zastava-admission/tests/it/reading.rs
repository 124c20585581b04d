//! Every image of every kind is found, by an extractor that a second one agrees with.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zastava_admission::{Error, ImageField, Review, ReviewObject};
use zastava_core::contract::{Decision, PolicyVerdict};

use super::scanner::{
    FakeScanner, SIGNED, UNSIGNED, create, pinned, pod, pod_review, review, reviewer, update,
};

/// Each kind with the path to its pod spec.
pub(crate) const KINDS: [(&str, &str, &str); 9] = [
    ("", "Pod", "/spec"),
    ("apps", "Deployment", "/spec/template/spec"),
    ("apps", "ReplicaSet", "/spec/template/spec"),
    ("apps", "StatefulSet", "/spec/template/spec"),
    ("apps", "DaemonSet", "/spec/template/spec"),
    ("batch", "Job", "/spec/template/spec"),
    ("", "ReplicationController", "/spec/template/spec"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ("", "PodTemplate", "/template/spec"),
];

/// An object of the kind around a pod spec.
pub(crate) fn object(kind: &str, path: &str, spec: &Value) -> Value {
    let mut object =
        json!({"kind": kind, "metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}]}});
    let (mut at, keys): (&mut Value, Vec<_>) = (&mut object, path.split('/').skip(1).collect());
    for (index, key) in keys.iter().enumerate() {
        at[*key] = if index + 1 == keys.len() { spec.clone() } else { json!({}) };
        at = &mut at[*key];
    }
    object
}

/// A pod spec with the image in one of the four fields, and a signed container beside it.
pub(crate) fn spec_with(field: ImageField, image: &str) -> Value {
    let mut spec = json!({"containers": [{"name": "main", "image": SIGNED}]});
    match field {
        ImageField::InitContainer => spec["initContainers"] = json!([{"name": "x", "image": image}]),
        ImageField::Container => spec["containers"] = json!([{"name": "x", "image": image}]),
        ImageField::EphemeralContainer => {
            spec["ephemeralContainers"] = json!([{"name": "x", "image": image}]);
        }
        ImageField::Volume => {
            spec["volumes"] = json!([{"name": "e", "emptyDir": {}},
                {"name": "x", "image": {"reference": image, "pullPolicy": "Always"}}]);
        }
        _ => unreachable!("a field that this test does not know"),
    }
    spec
}

pub(crate) const FIELDS: [ImageField; 4] =
    [ImageField::InitContainer, ImageField::Container, ImageField::EphemeralContainer, ImageField::Volume];

/// Every string under a key `image` or `reference`, wherever it stands: knows nothing of kinds.
fn walk(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if key == "image" || key == "reference" => {
                        found.insert(text.clone());
                    }
                    other => walk(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_field_of_every_kind_is_judged() {
    let mut cells = 0;
    for (group, kind, path) in KINDS {
        for field in FIELDS {
            let object_with = |image: &str| object(kind, path, &spec_with(field, image));
            let bad = object_with(UNSIGNED);
            for request in [create(group, kind, &bad), update(group, kind, &object_with(SIGNED), &bad)] {
                let scanner = FakeScanner::demo();
                let (reviewed, response) = review(&reviewer(&scanner), &request).await;
                let decision = reviewed.decision();
                assert_eq!(decision.decision, Decision::Deny, "{kind} {field:?}");
                assert!(response["status"]["message"].as_str().unwrap().contains(UNSIGNED));
                let judged: BTreeSet<_> = decision.images.iter().map(|image| image.name.clone()).collect();
                let mut walked = BTreeSet::new();
                walk(&request["request"]["object"], &mut walked);
                assert_eq!(judged, walked, "{kind} {field:?}");
                assert_eq!(decision.pod_spec_digest, {
                    let spec = request["request"]["object"].pointer(path).unwrap();
                    Some(zastava_core::contract::canonical_digest(spec).unwrap())
                });
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 72);
}

#[tokio::test]
async fn kind_that_is_not_known_is_denied() {
    let pod = pod(&[SIGNED]);
    for (group, kind, named) in [
        ("", "Service", "Service"),
        ("example.com", "Pod", "Pod.example.com"),
        ("apps", "Pod", "Pod.apps"),
        ("", "Deployment", "Deployment"),
        ("", "", ""),
    ] {
        let (reviewed, response) = review(&reviewer(&FakeScanner::demo()), &create(group, kind, &pod)).await;
        assert_eq!(reviewed.decision().annotations["rule"], "unknown-kind", "{named}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("{named} is no kind whose images are known")), "{message}");
        assert!(message.contains("webhook's rules"), "{message}");
    }
}

#[tokio::test]
async fn object_that_is_not_shaped_like_its_kind_is_denied() {
    let with = |object: Value| create("", "Pod", &object);
    let mut unknown_operation = pod_review(&[SIGNED]);
    unknown_operation["request"]["operation"] = "PATCH".into();
    for (request, expected) in [
        (with(Value::Null), "cannot be read: there is none"),
        (with(json!({"metadata": {}})), "the pod has no spec"),
        (with(json!({"spec": 5})), "cannot be read"),
        (with(json!({"spec": {"containers": [null]}})), "cannot be read"),
        (with(json!({"spec": {"containers": [{"image": 5}]}})), "cannot be read"),
        (with(json!({"metadata": {"labels": {"a": 1}}, "spec": {}})), "cannot be read"),
        (create("apps", "Deployment", &json!({"spec": {}})), "it has no pod template"),
        (create("apps", "Deployment", &json!({"spec": {"template": {}}})), "the pod has no spec"),
        (create("batch", "CronJob", &json!({"spec": {"jobTemplate": null}})), "it has no pod template"),
        (unknown_operation, "the operation \"PATCH\" is unknown"),
    ] {
        let (reviewed, response) = review(&reviewer(&FakeScanner::demo()), &request).await;
        assert_eq!(reviewed.decision().decision, Decision::Deny);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn what_starts_no_image_is_allowed_without_a_question() {
    let pod = pod(&[UNSIGNED]);
    let mut delete = update("", "Pod", &pod, &Value::Null);
    delete["request"]["operation"] = "DELETE".into();
    let mut connect = create("", "PodExecOptions", &json!({"command": ["sh"]}));
    connect["request"]["operation"] = "CONNECT".into();
    let mut eviction = create("policy", "Eviction", &json!({}));
    eviction["request"]["subResource"] = "eviction".into();
    let mut scale = update("autoscaling", "Scale", &json!({}), &json!({"spec": {"replicas": 3}}));
    scale["request"]["subResource"] = "scale".into();
    let blank_template =
        object("Deployment", "/spec/template/spec", &json!({"containers": [{"name": "a"}, {"image": ""}]}));
    let blank_volume =
        object("Job", "/spec/template/spec", &json!({"containers": [], "volumes": [{"image": {}}]}));
    for request in [
        delete,
        eviction,
        connect,
        scale,
        create("apps", "Deployment", &blank_template),
        create("batch", "Job", &blank_volume),
    ] {
        let scanner = FakeScanner::demo();
        let (reviewed, _) = review(&reviewer(&scanner), &request).await;
        assert_eq!(reviewed.decision().decision, Decision::Allow, "{request}");
        assert_eq!(reviewed.decision().annotations["source"], "rule");
        assert!(scanner.requests().is_empty());
    }
}

#[tokio::test]
async fn image_that_stands_in_many_places_is_asked_once() {
    let scanner = FakeScanner::demo();
    let other = pinned("registry.sandbox.local/demo/other", '4');
    let mut request = pod_review(&[SIGNED, &other, SIGNED]);
    request["request"]["object"]["spec"]["initContainers"] = json!([{"image": other}]);
    // The same image by tag and digest: another name, the same question.
    let tagged = SIGNED.replace("@", ":v1@");
    request["request"]["object"]["spec"]["volumes"] = json!([{"image": {"reference": tagged}}]);
    let (reviewed, _) = review(&reviewer(&scanner), &request).await;
    let [asked] = &scanner.requests()[..] else { panic!("one question") };
    assert_eq!(asked.images, [other.as_str(), SIGNED]);
    assert_eq!(asked.namespace.as_deref(), Some("shop"));
    let names: Vec<_> = reviewed.decision().images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, [other.as_str(), SIGNED, &tagged]);
}

#[tokio::test]
async fn nesting_does_not_exhaust_the_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_in = |place: &str| {
        let review = pod_review(&[SIGNED]).to_string();
        review.replacen(place, &format!("\"deep\":{deep},{place}"), 1)
    };
    for place in ["\"metadata\"", "\"restartPolicy\"", "\"image\"", "\"uid\"", "\"app\""] {
        let reviewer = reviewer(&FakeScanner::demo());
        let reviewed = reviewer.review(deep_in(place).as_bytes(), super::scanner::BUDGET).await.unwrap();
        let decision = reviewed.decision();
        let label = place == "\"app\"";
        assert_eq!(decision.decision == Decision::Deny, label, "a label is text");
        assert!(label || decision.images.len() == 1);
    }
}

#[tokio::test]
async fn more_images_than_any_pod_has_are_denied_unasked() {
    let images: Vec<_> = (0..257).map(|number| format!("registry.example.com/a{number}:1")).collect();
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let scanner = FakeScanner::demo();
    let (reviewed, _) = review(&reviewer(&scanner), &pod_review(&images)).await;
    assert_eq!(reviewed.decision().annotations["rule"], "too-large");
    assert!(scanner.requests().is_empty());
}

#[test]
fn body_that_is_no_review_is_an_error() {
    let review = pod_review(&[SIGNED]);
    let changed = |path: &str, value: Value| {
        let mut changed = review.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed.to_string()
    };
    let truncated = &review.to_string()[..200];
    for (body, expected) in [
        (String::new(), "the body is not an AdmissionReview"),
        ("[]".to_owned(), "the body is not an AdmissionReview"),
        (r#"["admission.k8s.io/v1","AdmissionReview",{"uid":"u"}]"#.to_owned(), "not an AdmissionReview"),
        ("\u{0}".to_owned(), "the body is not an AdmissionReview"),
        (truncated.to_owned(), "the body is not an AdmissionReview"),
        (format!("{review}x"), "the body is not an AdmissionReview"),
        ("[".repeat(100_000), "the body is not an AdmissionReview"),
        ("{}".to_owned(), "found neither kind nor apiVersion"),
        (
            changed("/apiVersion", "admission.k8s.io/v1beta1".into()),
            "found AdmissionReview of admission.k8s.io/v1beta1",
        ),
        (changed("/kind", "Pod".into()), "found Pod of"),
        (changed("/request", Value::Null), "no request with a uid"),
        (changed("/request/uid", "".into()), "no request with a uid"),
        (changed("/request/uid", Value::Null), "no request with a uid"),
        (changed("/request/uid", "x".repeat(129).into()), "no request with a uid"),
        (changed("/request/uid", 5.into()), "the body is not an AdmissionReview"),
        (changed("/request/object", 5.into()), "the body is not an AdmissionReview"),
        (changed("/request/object/metadata", 5.into()), "the body is not an AdmissionReview"),
    ] {
        let error: Error = Review::parse(body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn truncated_reviews_are_errors_and_changed_ones_do_no_harm() {
    let review = update("", "Pod", &pod(&[SIGNED]), &pod(&[UNSIGNED])).to_string();
    for length in 0..review.len() {
        assert!(Review::parse(&review.as_bytes()[..length]).is_err());
        let mut changed = review.clone().into_bytes();
        changed[length] ^= 0x15;
        if let Ok(review) = Review::parse(&changed) {
            let _ = review.object();
        }
    }
}

#[test]
fn escapes_nesting_and_order_do_not_hide_images() {
    let body = br#"{"request": {"object": {"spec": {"unknown": {"containers": [{"image": "no"}]},
        "volumes": [{"rbd": {"image": "no"}}, {"image": {"reference": "registry\u002eexample.com/a:1"}}],
        "containers": [{"env": [{"image": "no"}], "image": "b:2"}], "initContainers": null}},
        "operation": "CREATE", "kind": {"kind": "\u0050od"}, "uid": "1"},
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}"#;
    let review = Review::parse(body).unwrap();
    assert_eq!((review.uid(), review.kind(), review.group(), review.namespace()), ("1", "Pod", "", ""));
    let ReviewObject::Pod(pod) = review.object() else { panic!("a pod") };
    let images: Vec<_> = pod.images().iter().map(|image| (image.field, &*image.reference)).collect();
    assert_eq!(images, [(ImageField::Container, "b:2"), (ImageField::Volume, "registry.example.com/a:1")]);
    assert!(!pod.is_template());
}

#[tokio::test]
async fn verdict_in_the_decision_is_scanners() {
    let scanner = FakeScanner::demo();
    scanner.change(|answer| {
        let result = answer.results.get_mut(SIGNED).unwrap();
        result.has_sbom_referrers = Some(true);
        result.rekor = Some(zastava_core::contract::Rekor {
            uuid: Some("24296fb24b8ad77a".to_owned()),
            verified: Some(true),
            url: None,
        });
        result.metadata = json!({"scan": 7}).as_object().unwrap().clone();
        answer.ttl_seconds = Some(77);
    });
    let (reviewed, _) = review(&reviewer(&scanner), &pod_review(&[SIGNED])).await;
    let decision = serde_json::to_value(reviewed.envelope()).unwrap();
    assert_eq!(decision["schemaVersion"], "zastava.admission.decision@v1.0");
    assert_eq!(decision["decision"]["ttlSeconds"], 77);
    let image = json!({
        "name": SIGNED, "resolved": SIGNED, "signed": true, "hasSbomReferrers": true,
        "policyVerdict": "pass", "reasons": [], "rekor": {"uuid": "24296fb24b8ad77a", "verified": true},
        "metadata": {"scan": 7},
    });
    assert_eq!(decision["decision"]["images"], json!([image]));
    assert_eq!(reviewed.decision().images[0].policy_verdict, PolicyVerdict::Pass);
}

#[tokio::test]
async fn a_placeholder_warns_in_a_template_and_is_denied_in_a_pod() {
    let scanner = FakeScanner::new(&[
        ("docker.io/library/auto:latest", PolicyVerdict::Pass),
        ("docker.io/library/automatic:latest", PolicyVerdict::Pass),
    ]);
    let by = reviewer(&scanner);
    let gateway = json!({"spec": {"template": pod(&["auto"])}});
    let (reviewed, response) = review(&by, &create("apps", "Deployment", &gateway)).await;
    assert!(reviewed.is_allowed());
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("image auto: stands for an image that is filled in later"), "{warning}");
    let (reviewed, response) = review(&by, &pod_review(&["auto"])).await;
    assert!(!reviewed.is_allowed());
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("nobody has filled in (rule placeholder)"), "{message}");
    assert!(scanner.requests().is_empty());
    // Nothing but the very text is one, and a bad image beside it is denied.
    for (image, is_allowed) in [("automatic", true), ("auto:1", false), (UNSIGNED, false)] {
        let gateway = json!({"spec": {"template": pod(&["auto", image])}});
        let (reviewed, _) = review(&by, &create("apps", "Deployment", &gateway)).await;
        assert_eq!(reviewed.is_allowed(), is_allowed, "{image}");
    }
}
