//! The newest Kubernetes has no image that the reader of reviews does not know.
//!
//! The Go module `k8s.io/api` has an object of every kind in which every field is set, for its own tests
//! (`testdata/HEAD`). Each of them is walked here.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use zastava_admission::{ImageField, Review, ReviewObject, holds_pod};

/// Fields of a pod spec that are named like an image or what an image is of, and whether they start one.
const FIELDS: &[(&str, Option<ImageField>)] = &[
    ("containers[].image", Some(ImageField::Container)),
    ("initContainers[].image", Some(ImageField::InitContainer)),
    ("ephemeralContainers[].image", Some(ImageField::EphemeralContainer)),
    ("volumes[].image.reference", Some(ImageField::Volume)),
    // The members of the volume's source.
    ("volumes[].image", None),
    ("volumes[].image.pullPolicy", None),
    ("containers[].imagePullPolicy", None),
    ("initContainers[].imagePullPolicy", None),
    ("ephemeralContainers[].imagePullPolicy", None),
    ("imagePullSecrets", None),
    ("imagePullSecrets[].name", None),
    // A block device of Ceph.
    ("volumes[].rbd.image", None),
    // The service of Quobyte.
    ("volumes[].quobyte.registry", None),
    ("volumes[].ephemeral.volumeClaimTemplate.metadata.ownerReferences", None),
    ("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[].preference", None),
];
/// What such a field may be called.
const WORDS: &[&str] = &["image", "artifact", "digest", "reference", "oci", "registry"];
/// The sources of volumes. A new one may be something that runs.
const VOLUMES: &[&str] = &[
    "name",
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];
/// A question about images, which is not stored and starts none.
const NOT_STORED: &str = "imagepolicy.k8s.io";

/// Every field below the value: its path, and the value.
fn walk<'v>(value: &'v Value, path: &str, found: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.push((path.clone(), value));
                walk(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// The specs of pods in an object, by their paths: whatever has a list of containers.
fn pod_specs(object: &Value) -> Vec<(String, &Value)> {
    let mut fields = vec![(String::new(), object)];
    walk(object, "", &mut fields);
    let has_containers = |value: &&Value| value["containers"][0]["image"].is_string();
    fields.into_iter().filter(|(_, value)| has_containers(value)).collect()
}

/// Group, version and kind; empty in what is no object of the API.
fn kind_of(object: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
    (group, version, kind)
}

/// What is new in an object.
fn drift(object: &Value) -> Vec<String> {
    let (group, version, kind) = kind_of(object);
    let mut faults = Vec::new();
    for (place, spec) in pod_specs(object) {
        if group == NOT_STORED {
            continue;
        }
        if !holds_pod(&group, &kind) {
            faults.push(format!("{version} {kind} has a pod at {place:?}"));
        }
        let mut fields = Vec::new();
        walk(spec, "", &mut fields);
        for (path, _) in &fields {
            let is_known = FIELDS.iter().any(|(known, _)| known == path);
            let parts = path.to_lowercase();
            let name = parts.rsplit('.').next().unwrap_or_default();
            if !is_known && WORDS.iter().any(|word| name.contains(word)) {
                faults.push(format!("{version} {kind}: is {path} an image?"));
            }
        }
        let sources = spec["volumes"][0].as_object().map(|volume| volume.keys()).into_iter().flatten();
        let new = sources.filter(|source| !VOLUMES.contains(&source.as_str()));
        faults.extend(new.map(|source| format!("{version} {kind}: does the volume {source} run?")));
    }
    faults
}

/// Gives each image of the object's pods a name of its own. Returns what must be found.
fn mark(object: &mut Value) -> BTreeSet<(ImageField, String)> {
    fn lists<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>) {
        if value["containers"][0]["image"].is_string() {
            return found.push(value);
        }
        if let Value::Object(members) = value {
            members.values_mut().for_each(|value| lists(value, found));
        }
    }
    let mut specs = Vec::new();
    lists(object, &mut specs);
    let mut expected = BTreeSet::new();
    for spec in specs {
        for (path, field) in FIELDS.iter().filter_map(|(path, field)| Some((path, (*field)?))) {
            let pointer = format!("/{}", path.replace("[]", ".0").replace('.', "/"));
            let name = format!("registry.example/{}", expected.len());
            *spec.pointer_mut(&pointer).unwrap_or_else(|| panic!("{path} is gone")) = name.clone().into();
            expected.insert((field, name));
        }
    }
    expected
}

fn found(object: &Value, group: &str) -> BTreeSet<(ImageField, String)> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "object": object,
            "kind": {"group": group, "version": "v1", "kind": object["kind"]}},
    });
    let body = serde_json::to_vec(&review).unwrap();
    let review = Review::parse(&body).unwrap();
    let ReviewObject::Pod(pod) = review.object() else { panic!("{} holds a pod", object["kind"]) };
    pod.images().iter().map(|image| (image.field, image.reference.to_string())).collect()
}

/// The folder of the newest release's objects; none where it cannot be had.
fn newest() -> Option<PathBuf> {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["180", "go", "mod", "download", "-json", "k8s.io/api@latest"])
        .current_dir(directory.path())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let module: Option<Value> = output.and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let path = module.as_ref().and_then(|module| module["Dir"].as_str()).map(PathBuf::from);
    match path {
        Some(path) => Some(path.join("testdata/HEAD")),
        None => {
            let _ = writeln!(
                std::io::stderr(),
                "SKIP: go or k8s.io/api is missing; the newest Kubernetes is not read"
            );
            None
        }
    }
}

fn objects(folder: &Path) -> impl Iterator<Item = Value> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

#[test]
fn every_image_of_the_newest_kubernetes_is_found() {
    let Some(folder) = newest() else { return };
    let (mut faults, mut kinds) = (Vec::new(), BTreeSet::new());
    for mut object in objects(&folder) {
        faults.extend(drift(&object));
        let (group, _, kind) = kind_of(&object);
        if !holds_pod(&group, &kind) {
            continue;
        }
        let expected = mark(&mut object);
        assert_eq!(found(&object, &group), expected, "{kind}");
        kinds.insert(kind);
    }
    assert!(faults.is_empty(), "new in {}:\n{}", folder.display(), faults.join("\n"));
    let expected = [
        "CronJob",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "PodTemplate",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}

#[test]
fn what_would_be_new_is_noticed() {
    let container = json!([{"name": "a", "image": "b"}]);
    for (kind, more, faults) in [
        ("Pod", json!({}), &[][..]),
        ("PodGroup", json!({}), &["has a pod at \"spec\""]),
        ("Pod", json!({"sidecars": container}), &["is sidecars[].image an image?"]),
        ("Pod", json!({"runtime": {"ociBundle": "x"}}), &["is runtime.ociBundle an image?"]),
        ("Pod", json!({"volumes": [{"name": "x", "wasm": {"module": "y"}}]}), &["does the volume wasm run?"]),
    ] {
        let mut spec = json!({"containers": container});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = drift(&json!({"apiVersion": "v1", "kind": kind, "spec": spec}));
        assert_eq!(found.len(), faults.len(), "{found:?}");
        assert!(found.iter().zip(faults).all(|(found, fault)| found.ends_with(fault)), "{found:?}");
    }
}
