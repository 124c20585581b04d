//! Makes a workload of containerd's record of a container. Pure.

use std::str::FromStr as _;

use zastava_core::contract::{self, Evidence};
use zastava_core::image::{Digest, ImageReference};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use super::messages::ContainerRecord;
use crate::kubernetes::PodFacts;
use crate::source::oci_spec::OciSpec;
use crate::workload::Workload;

/// The namespace that Docker Engine uses in its containerd.
const DOCKER_NAMESPACE: &str = "moby";
/// CRI's label and annotation of a container.
const KIND_LABEL: &str = "io.cri-containerd.kind";
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

/// The name of an image to look up, and the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageNames {
    pub(super) lookup: String,
    requested: String,
}

/// A container as containerd records it, with its specification.
#[derive(Debug)]
pub(super) struct Container {
    record: ContainerRecord,
    spec: Option<OciSpec>,
}

impl Container {
    pub(super) fn read(record: ContainerRecord) -> Self {
        let spec = record.spec.as_ref().and_then(|spec| OciSpec::parse(&spec.value));
        Self { record, spec }
    }

    /// Whether the container only holds a pod's namespaces.
    pub(super) fn is_pod_sandbox(&self) -> bool {
        self.record.labels.get(KIND_LABEL).is_some_and(|kind| kind == "sandbox")
    }

    /// CRI records an image by its id. The name that was asked for is an annotation then.
    pub(super) fn image_names(&self) -> Option<ImageNames> {
        let lookup = Some(self.record.image.clone()).filter(|name| !name.is_empty())?;
        let annotation = self.spec.as_ref().and_then(|spec| spec.annotation(IMAGE_NAME_ANNOTATION));
        let requested = annotation.filter(|name| !is_image_id(name)).unwrap_or(&lookup).to_owned();
        Some(ImageNames { lookup, requested })
    }
}

/// The workload of a task. `record` is `None` if the container was gone before it was looked up.
pub(super) fn workload(
    key: &TaskKey,
    version: &str,
    start_ticks: Option<u64>,
    record: Option<&Container>,
    digest: Option<&str>,
) -> Workload {
    let id = format!("containerd://{}", key.id);
    let spec = record.and_then(|record| record.spec.as_ref());
    let cgroup = spec.and_then(OciSpec::cgroup_name).unwrap_or(&key.id).to_owned();
    let source = match (record, spec) {
        (None, _) => "the container was gone before it could be asked for",
        (Some(_), None) => "the container has no readable specification",
        (Some(_), Some(_)) => key.namespace.as_str(),
    };
    Workload {
        engine: Engine::Containerd,
        engine_version: Some(version.to_owned()),
        key: key.workload(),
        pid: key.pid,
        start_ticks,
        started_at: None,
        cgroup: Some(cgroup),
        description: describe(key, &id, record, digest),
        entrypoint: spec.map(OciSpec::arguments).unwrap_or_default(),
        evidence: vec![Evidence::new(Signal::ContainerdContainer, source)],
        id,
    }
}

fn describe(key: &TaskKey, id: &str, record: Option<&Container>, digest: Option<&str>) -> contract::Workload {
    let pod = record.map(|record| PodFacts::of(&record.record.labels)).unwrap_or_default();
    let platform = match (&pod.pod, key.namespace.as_str()) {
        (Some(_), _) => Platform::Kubernetes,
        (None, DOCKER_NAMESPACE) => Platform::Docker,
        (None, _) => Platform::Vm,
    };
    contract::Workload {
        namespace: pod.namespace,
        pod: pod.pod,
        container: pod.container,
        container_id: Some(id.to_owned()),
        image_ref: record.and_then(Container::image_names).map(|names| image_ref(&names.requested, digest)),
        ..contract::Workload::new(platform)
    }
}

/// `repository@sha256:…` if the digest is known, otherwise the name as it stands.
fn image_ref(name: &str, digest: Option<&str>) -> String {
    let digest = digest.and_then(|digest| Digest::from_str(digest).ok());
    if is_image_id(name) {
        return name.to_owned();
    }
    let Ok(reference) = ImageReference::from_str(name) else { return name.to_owned() };
    let pinned = reference.pinned().or_else(|| reference.at(digest?).pinned());
    pinned.unwrap_or_else(|| name.to_owned())
}

fn is_image_id(name: &str) -> bool {
    Digest::from_str(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::containerd::messages::Any;

    fn record(image: &str, labels: &[(&str, &str)], spec: &str) -> Container {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = Some(Any { type_url: String::new(), value: spec.as_bytes().to_vec() });
        Container::read(ContainerRecord { labels, image: image.to_owned(), spec })
    }

    fn read(record: Option<&Container>, digest: Option<&str>) -> Workload {
        let key = TaskKey { namespace: "k8s.io".to_owned(), id: "abc".to_owned(), pid: 7 };
        workload(&key, "2.2.0", Some(99), record, digest)
    }

    #[test]
    fn a_pod_container_carries_its_names_image_digest_and_arguments() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let id = format!("sha256:{}", "2".repeat(64));
        let labels = [
            ("io.kubernetes.pod.namespace", "payments"),
            ("io.kubernetes.pod.name", "api-7d"),
            ("io.kubernetes.container.name", "api"),
        ];
        let spec = r#"{"process":{"args":["/app/api","--port","80"]},
            "annotations":{"io.kubernetes.cri.image-name":"registry.internal/pay/api:3"},
            "linux":{"cgroupsPath":"kubepods-besteffort-pod1.slice:cri-containerd:abc"}}"#;
        let record = record(&id, &labels, spec);
        let found = read(Some(&record), Some(&digest));
        assert_eq!(found.description.platform, Platform::Kubernetes);
        assert_eq!(found.description.pod.as_deref(), Some("api-7d"));
        assert_eq!(found.description.container_id.as_deref(), Some("containerd://abc"));
        assert_eq!(found.description.image_ref, Some(format!("registry.internal/pay/api@{digest}")));
        assert_eq!(found.entrypoint, ["/app/api", "--port", "80"]);
        assert_eq!(found.cgroup.as_deref(), Some("abc"));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let gone = read(None, None);
        assert_eq!(gone.description.image_ref, None);
        assert!(gone.evidence[0].value.contains("gone"), "{gone:?}");
        let broken = record("docker.io/library/x:1", &[], "{");
        let found = read(Some(&broken), Some("sha256:short"));
        assert_eq!(found.description.image_ref.as_deref(), Some("docker.io/library/x:1"));
        assert!(found.entrypoint.is_empty() && found.evidence[0].value.contains("no readable"));
        let nulls = record("x", &[], r#"{"process":{"args":null},"annotations":null}"#);
        assert!(read(Some(&nulls), None).entrypoint.is_empty());
    }

    #[test]
    fn a_pod_sandbox_is_recognised_by_its_label() {
        assert!(record("pause", &[("io.cri-containerd.kind", "sandbox")], "{}").is_pod_sandbox());
        assert!(!record("app", &[("io.cri-containerd.kind", "container")], "{}").is_pod_sandbox());
    }
}
