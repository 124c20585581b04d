//! Makes a workload of containerd's record of a container. Pure.

use std::str::FromStr as _;

use serde::Deserialize;
use zastava_core::contract::{self, Evidence};
use zastava_core::image::Digest;
use zastava_core::vocabulary::{Engine, Platform, Signal};

use super::image::ImageFound;
use super::messages::{ContainerRecord, Time};
use crate::kubernetes::PodFacts;
use crate::source::moby;
use crate::source::oci_spec::OciSpec;
use crate::workload::Workload;

/// CRI's own records of a container and of a pod's sandbox. Nobody else writes them, while labels may come from an image.
const CRI_CONTAINER: &str = "io.cri-containerd.container.metadata";
const CRI_SANDBOX: &str = "io.cri-containerd.sandbox.metadata";
const IMAGE_NAME_ANNOTATION: &str = "io.kubernetes.cri.image-name";

/// A container's main process, as a task event or a list of tasks names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskKey {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) pid: u32,
}

impl TaskKey {
    /// [`Workload::key`]: an id is unique in its namespace only.
    pub(super) fn workload(&self) -> String {
        format!("{}/{}", self.namespace, self.id)
    }
}

/// A container as containerd records it, with its specification.
#[derive(Debug)]
pub(super) struct Container {
    record: ContainerRecord,
    spec: Option<OciSpec>,
    cri: Option<CriContainer>,
}

/// CRI's record of a container (`internal/cri/store/container` in containerd).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CriRecord {
    metadata: CriContainer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CriContainer {
    config: CriConfig,
    /// The image's id: the digest of its config.
    image_ref: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CriConfig {
    image: CriImage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CriImage {
    user_specified_image: String,
}

impl Container {
    pub(super) fn read(record: ContainerRecord) -> Self {
        let spec = record.spec.as_ref().and_then(|spec| OciSpec::parse(&spec.value));
        let cri = record.extensions.get(CRI_CONTAINER);
        let cri = cri.map(|cri| serde_json::from_slice::<CriRecord>(&cri.value).unwrap_or_default().metadata);
        Self { record, spec, cri }
    }

    pub(super) fn record(&self) -> &ContainerRecord {
        &self.record
    }

    /// Whether the container only holds a pod's namespaces.
    pub(super) fn is_pod_sandbox(&self) -> bool {
        self.record.extensions.contains_key(CRI_SANDBOX)
    }

    /// Whether the container is there since before this time. A younger one has got the id of one that is gone.
    pub(super) fn is_older_than(&self, seen: Time) -> bool {
        self.record.created_at.is_none_or(|created| created <= seen)
    }

    /// The image's name as it was asked for. CRI records an image by its id, or by any of its names.
    pub(super) fn image_name(&self) -> Option<&str> {
        let asked = self.cri.as_ref().map(|cri| cri.config.image.user_specified_image.as_str());
        let annotation = self.spec.as_ref().and_then(|spec| spec.annotation(IMAGE_NAME_ANNOTATION));
        let names = [asked, annotation].into_iter().flatten();
        let mut names = names.filter(|name| !name.is_empty() && !is_image_id(name));
        names.next().or(Some(self.record.image.as_str())).filter(|name| !name.is_empty())
    }

    /// `None` if it is not readable.
    pub(super) fn spec(&self) -> Option<&OciSpec> {
        self.spec.as_ref()
    }

    /// The digest of the image's config, which the container was made of.
    pub(super) fn image_id(&self) -> Option<Digest> {
        Digest::from_str(&self.cri.as_ref()?.image_ref).ok()
    }

    /// The names of its pod; none for a container that no kubelet asked for.
    fn pod(&self) -> PodFacts {
        self.cri.as_ref().map(|_| PodFacts::of(&self.record.labels)).unwrap_or_default()
    }
}

/// The workload of a task. `record` holds the reason if the container's record is missing; `spec` may come from elsewhere.
pub(super) fn workload(
    key: &TaskKey,
    version: &str,
    start_ticks: Option<u64>,
    record: Result<&Container, &'static str>,
    spec: Option<&OciSpec>,
    image: Option<ImageFound>,
) -> Workload {
    let id = format!("containerd://{}", key.id);
    let cgroup = spec.and_then(OciSpec::cgroup_name).unwrap_or(&key.id).to_owned();
    let source = match (record, spec) {
        (Err(reason), _) => reason,
        (Ok(_), None) => "the container has no readable specification",
        (Ok(_), Some(_)) => key.namespace.as_str(),
    };
    let mut evidence = vec![Evidence::new(Signal::ContainerdContainer, source)];
    let without_digest = image.as_ref().and_then(|image| image.without_digest);
    if image.is_none() && key.namespace == moby::NAMESPACE {
        evidence.push(Evidence::new(Signal::ContainerdImage, moby::WITHOUT_IMAGE));
    }
    evidence.extend(without_digest.map(|reason| Evidence::new(Signal::ContainerdImage, reason)));
    Workload {
        engine: Engine::Containerd,
        engine_version: Some(version.to_owned()),
        key: key.workload(),
        pid: key.pid,
        start_ticks,
        started_at: None,
        cgroup: Some(cgroup),
        description: describe(key, &id, record.ok(), image),
        entrypoint: spec.map(OciSpec::arguments).unwrap_or_default(),
        image_entrypoint: Vec::new(),
        evidence,
        prepared: None,
        declared: None,
        id,
    }
}

fn describe(
    key: &TaskKey,
    id: &str,
    record: Option<&Container>,
    image: Option<ImageFound>,
) -> contract::Workload {
    let pod = record.map(Container::pod).unwrap_or_default();
    let platform = match (&pod.pod, key.namespace.as_str()) {
        (Some(_), _) => Platform::Kubernetes,
        (None, moby::NAMESPACE) => Platform::Docker,
        (None, _) => Platform::Vm,
    };
    contract::Workload {
        namespace: pod.namespace,
        pod: pod.pod,
        container: pod.container,
        container_id: Some(id.to_owned()),
        image_ref: image.map(|image| image.reference),
        ..contract::Workload::new(platform)
    }
}

fn is_image_id(name: &str) -> bool {
    Digest::from_str(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::containerd::messages::Any;

    fn any(json: &str) -> Any {
        Any { type_url: String::new(), value: json.as_bytes().to_vec() }
    }

    fn record(image: &str, labels: &[(&str, &str)], spec: &str, extensions: &[(&str, &str)]) -> Container {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let extensions = extensions.iter().map(|(name, json)| ((*name).to_owned(), any(json))).collect();
        let (image, spec) = (image.to_owned(), Some(any(spec)));
        Container::read(ContainerRecord { labels, image, spec, extensions, ..ContainerRecord::default() })
    }

    fn read(record: Result<&Container, &'static str>, image: Option<ImageFound>) -> Workload {
        let key = TaskKey { namespace: "k8s.io".to_owned(), id: "abc".to_owned(), pid: 7 };
        workload(&key, "2.2.0", Some(99), record, record.ok().and_then(Container::spec), image)
    }

    const LABELS: [(&str, &str); 3] = [
        ("io.kubernetes.pod.namespace", "payments"),
        ("io.kubernetes.pod.name", "api-7d"),
        ("io.kubernetes.container.name", "api"),
    ];

    #[test]
    fn a_pod_container_carries_its_names_image_and_arguments() {
        let id = format!("sha256:{}", "2".repeat(64));
        let spec = r#"{"process":{"args":["/app/api","--port","80"]},
            "annotations":{"io.kubernetes.cri.image-name":"registry.internal/pay/api:3"},
            "linux":{"cgroupsPath":"kubepods-besteffort-pod1.slice:cri-containerd:abc"}}"#;
        let cri = format!(
            r#"{{"Version":"v1","Metadata":{{"ID":"abc","Config":{{"image":{{}}}},"ImageRef":"{id}"}}}}"#
        );
        let record = record(&id, &LABELS, spec, &[(CRI_CONTAINER, &cri)]);
        assert_eq!(record.image_name(), Some("registry.internal/pay/api:3"));
        assert_eq!(record.image_id().map(|id| id.to_string()), Some(id));
        let reference = format!("registry.internal/pay/api@sha256:{}", "1".repeat(64));
        let image = ImageFound { reference: reference.clone(), without_digest: None };
        let found = read(Ok(&record), Some(image));
        assert_eq!(found.description.platform, Platform::Kubernetes);
        assert_eq!(found.description.pod.as_deref(), Some("api-7d"));
        assert_eq!(found.description.container_id.as_deref(), Some("containerd://abc"));
        assert_eq!(found.description.image_ref, Some(reference));
        assert_eq!(found.entrypoint, ["/app/api", "--port", "80"]);
        assert_eq!(found.cgroup.as_deref(), Some("abc"));
        assert_eq!(found.evidence.len(), 1);
    }

    #[test]
    fn the_name_that_was_asked_for_comes_before_any_name_of_the_image() {
        let id = format!("sha256:{}", "2".repeat(64));
        let asked = r#"{"Metadata":{"Config":{"image":{"image":"x","user_specified_image":"asked:1"}}}}"#;
        let annotated = r#"{"annotations":{"io.kubernetes.cri.image-name":"annotated:1"}}"#;
        let by_id = format!(r#"{{"annotations":{{"io.kubernetes.cri.image-name":"{id}"}}}}"#);
        for (image, spec, cri, wanted) in [
            ("any:1", annotated, asked, Some("asked:1")),
            ("any:1", annotated, "{}", Some("annotated:1")),
            ("any:1", by_id.as_str(), "null", Some("any:1")),
            (id.as_str(), "{}", "{", Some(id.as_str())),
            ("", "{}", "{}", None),
        ] {
            let record = record(image, &[], spec, &[(CRI_CONTAINER, cri)]);
            assert_eq!(record.image_name(), wanted, "{image} {spec} {cri}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let gone = read(Err("the container was gone"), None);
        assert_eq!(gone.description.image_ref, None);
        assert!(gone.evidence[0].value.contains("gone"), "{gone:?}");
        let broken = record("docker.io/library/x:1", &[], "{", &[]);
        let image =
            ImageFound { reference: "docker.io/library/x:1".to_owned(), without_digest: Some("moved") };
        let found = read(Ok(&broken), Some(image));
        assert_eq!(found.description.image_ref.as_deref(), Some("docker.io/library/x:1"));
        assert!(found.entrypoint.is_empty() && found.evidence[0].value.contains("no readable"));
        assert_eq!(found.evidence[1], Evidence::new(Signal::ContainerdImage, "moved"));
        let nulls = record("x", &[], r#"{"process":{"args":null},"annotations":null}"#, &[]);
        assert!(read(Ok(&nulls), None).entrypoint.is_empty());
    }

    #[test]
    fn labels_of_an_image_make_no_pod_and_hide_no_container() {
        let sandbox = record("pause", &[], "{}", &[(CRI_SANDBOX, "{}")]);
        assert!(sandbox.is_pod_sandbox());
        let labels = [&LABELS[..], &[("io.cri-containerd.kind", "sandbox")]].concat();
        let foreign = record("app", &labels, "{}", &[]);
        assert!(!foreign.is_pod_sandbox());
        let found = read(Ok(&foreign), None);
        assert_eq!(found.description.platform, Platform::Vm);
        assert_eq!(found.description.pod, None);
    }
}
