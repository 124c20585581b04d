//! From containerd's records to what an event says. Pure.

use std::str::FromStr as _;

use serde::Deserialize;
use zastava_core::contract::{EngineIdentity, Workload};
use zastava_core::image::{Digest, ImageReference};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use super::messages::ContainerRecord;
use crate::runtime::{Container, evidence};

/// The namespace that Docker Engine uses in its containerd.
const DOCKER_NAMESPACE: &str = "moby";

/// A container's main process, as a task event or the list of tasks names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskKey {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) pid: u32,
}

impl TaskKey {
    /// [`Container::key`]: ids are unique in a namespace only.
    pub(super) fn container(&self) -> String {
        format!("{}/{}", self.namespace, self.id)
    }
}

/// The part of the OCI runtime specification (config.md) that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    process: SpecProcess,
    annotations: Option<std::collections::HashMap<String, String>>,
    linux: SpecLinux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecProcess {
    args: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecLinux {
    cgroups_path: Option<String>,
}

/// What the record says of its image: the name to look up, and the name to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageNames {
    pub(super) lookup: String,
    shown: String,
}

/// A container's record, read.
#[derive(Debug)]
pub(super) struct Record {
    record: ContainerRecord,
    spec: Option<Spec>,
}

impl Record {
    pub(super) fn read(record: ContainerRecord) -> Self {
        let spec = record.spec.as_ref().and_then(|spec| serde_json::from_slice(&spec.value).ok());
        Self { record, spec }
    }

    /// The container that only holds a pod's namespaces.
    pub(super) fn is_pod_sandbox(&self) -> bool {
        self.label("io.cri-containerd.kind") == Some("sandbox")
    }

    /// CRI records the image by its id; the name that was asked for is an annotation then.
    pub(super) fn image_names(&self) -> Option<ImageNames> {
        let lookup = Some(self.record.image.clone()).filter(|name| !name.is_empty())?;
        let annotations = self.spec.as_ref().and_then(|spec| spec.annotations.as_ref());
        let asked = annotations.and_then(|all| all.get("io.kubernetes.cri.image-name"));
        let shown = asked.filter(|name| !is_image_id(name)).cloned().unwrap_or_else(|| lookup.clone());
        Some(ImageNames { lookup, shown })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.record.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The workload of a task. `record` is `None` when the container was gone before it could be asked for.
pub(super) fn container(
    key: &TaskKey,
    version: &str,
    start_ticks: Option<u64>,
    record: Option<&Record>,
    digest: Option<&str>,
) -> Container {
    let label = |name| record.and_then(|record| record.label(name)).map(str::to_owned);
    let pod = label("io.kubernetes.pod.name");
    let platform = match (&pod, key.namespace.as_str()) {
        (Some(_), _) => Platform::Kubernetes,
        (None, DOCKER_NAMESPACE) => Platform::Docker,
        (None, _) => Platform::Vm,
    };
    let id = format!("containerd://{}", key.id);
    let workload = Workload {
        platform: platform.into(),
        namespace: label("io.kubernetes.pod.namespace"),
        pod,
        container: label("io.kubernetes.container.name"),
        container_id: Some(id.clone()),
        image_ref: record.and_then(Record::image_names).map(|names| image_ref(&names.shown, digest)),
        owner: None,
    };
    let spec = record.and_then(|record| record.spec.as_ref());
    let told = match (record, spec) {
        (None, _) => "the container was gone before it could be asked for",
        (Some(_), None) => "the container has no readable specification",
        (Some(_), Some(_)) => key.namespace.as_str(),
    };
    Container {
        key: key.container(),
        id,
        pid: key.pid,
        start_ticks,
        started_at: None,
        cgroup: Some(cgroup_name(key, spec)),
        runtime: EngineIdentity { name: Engine::Containerd.into(), version: Some(version.to_owned()) },
        workload,
        entrypoint: spec.and_then(|spec| spec.process.args.clone()).unwrap_or_default(),
        evidence: vec![evidence(Signal::ContainerdContainer, told)],
    }
}

/// The part of the specification's cgroup path that the process's path must contain: the last name
/// of `/kubepods/…/<id>`, or `<prefix>-<name>` of systemd's `slice:prefix:name`.
fn cgroup_name(key: &TaskKey, spec: Option<&Spec>) -> String {
    let path = spec.and_then(|spec| spec.linux.cgroups_path.as_deref()).unwrap_or_default();
    let name = path.rsplit(['/', ':']).next().filter(|name| !name.is_empty());
    name.unwrap_or(&key.id).to_owned()
}

/// `repository@sha256:…` when the digest is known, else the name as it stands.
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
    use crate::runtime::containerd::messages::Any;

    fn record(image: &str, labels: &[(&str, &str)], spec: &str) -> Record {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = Some(Any { type_url: String::new(), value: spec.as_bytes().to_vec() });
        Record::read(ContainerRecord { labels, image: image.to_owned(), spec })
    }

    fn of(record: Option<&Record>, digest: Option<&str>) -> Container {
        let key = TaskKey { namespace: "k8s.io".to_owned(), id: "abc".to_owned(), pid: 7 };
        container(&key, "2.2.0", Some(99), record, digest)
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
        let found = of(Some(&record), Some(&digest));
        assert_eq!(found.workload.platform, Platform::Kubernetes);
        assert_eq!(found.workload.pod.as_deref(), Some("api-7d"));
        assert_eq!(found.workload.container_id.as_deref(), Some("containerd://abc"));
        assert_eq!(found.workload.image_ref, Some(format!("registry.internal/pay/api@{digest}")));
        assert_eq!(found.entrypoint, ["/app/api", "--port", "80"]);
        assert_eq!(found.cgroup.as_deref(), Some("abc"));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let gone = of(None, None);
        assert_eq!(gone.workload.image_ref, None);
        assert!(gone.evidence[0].value.contains("gone"), "{gone:?}");
        let broken = record("docker.io/library/x:1", &[], "{");
        let found = of(Some(&broken), Some("sha256:short"));
        assert_eq!(found.workload.image_ref.as_deref(), Some("docker.io/library/x:1"));
        assert!(found.entrypoint.is_empty() && found.evidence[0].value.contains("no readable"));
        let nulls = record("x", &[], r#"{"process":{"args":null},"annotations":null}"#);
        assert!(of(Some(&nulls), None).entrypoint.is_empty());
    }

    #[test]
    fn a_pod_sandbox_is_known_by_its_label() {
        assert!(record("pause", &[("io.cri-containerd.kind", "sandbox")], "{}").is_pod_sandbox());
        assert!(!record("app", &[("io.cri-containerd.kind", "container")], "{}").is_pod_sandbox());
    }
}
