//! The review that an API server would send for an object.

use std::process;

use serde_json::{Map, Value, json};
use zastava_core::clock::Timestamp;

/// Who asks, in the decision line.
const USER: &str = "zastava-webhook review";

/// What is asked about: a review's uid, and the review in JSON.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) uid: String,
    pub(super) body: Vec<u8>,
}

impl Question {
    /// The creation of the object as a dry run. The namespace is for an object that names none.
    pub(super) fn of_object(object: &Map<String, Value>, namespace: &str) -> Self {
        let uid = format!("zastava-review-{}-{}", process::id(), Timestamp::now());
        let (group, version) = group_and_version(object);
        let kind = text(object, "kind");
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": uid,
                "kind": {"group": group, "version": version, "kind": kind},
                // The plural of every kind that holds pods.
                "resource": {"group": group, "version": version, "resource": kind.to_lowercase() + "s"},
                "name": metadata(object, "name"),
                "namespace": namespace_of(object, namespace),
                "operation": "CREATE",
                "userInfo": {"username": USER},
                "object": object,
                "dryRun": true,
            },
        });
        Self { uid, body: review.to_string().into_bytes() }
    }

    /// A review as it is.
    pub(super) fn of_review(review: &Map<String, Value>) -> Self {
        let uid = review.get("request").and_then(|request| request.get("uid")).and_then(Value::as_str);
        let body = serde_json::to_vec(review).unwrap_or_default();
        Self { uid: uid.unwrap_or_default().to_owned(), body }
    }
}

/// A Pod with one container for each image.
pub(super) fn pod(name: &str, images: &[String], labels: &[(String, String)]) -> Map<String, Value> {
    let containers = images.iter().enumerate();
    let containers: Vec<_> =
        containers.map(|(index, image)| json!({"name": format!("image-{index}"), "image": image})).collect();
    let labels: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": containers},
    });
    match pod {
        Value::Object(pod) => pod,
        _ => Map::new(),
    }
}

/// The API group and the version, of which `apiVersion` is made.
pub(super) fn group_and_version(object: &Map<String, Value>) -> (&str, &str) {
    let version = text(object, "apiVersion");
    version.split_once('/').unwrap_or(("", version))
}

/// A member that is a word; empty where it is not.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The same of the member `metadata`.
pub(super) fn metadata<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// The object's own namespace, or the other.
pub(super) fn namespace_of<'a>(object: &'a Map<String, Value>, other: &'a str) -> &'a str {
    match metadata(object, "namespace") {
        "" => other,
        namespace => namespace,
    }
}
