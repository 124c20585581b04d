//! Makes a workload of what CRI-O says about a container. Pure.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{self, Evidence};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use super::messages::{Image, State, Status, StatusResponse};
use crate::kubernetes::PodFacts;
use crate::source::oci_spec::OciSpec;
use crate::source::repo_digests;
use crate::workload::Workload;

/// A container as CRI-O shows it, with the JSON of its `info`.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) status: Status,
    info: Result<Info, &'static str>,
}

/// CRI-O's own facts (`createContainerInfo` in cri-o/cri-o, server/container_status.go).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    #[serde(rename = "sandboxID")]
    sandbox_id: String,
    pid: i64,
    runtime_spec: Option<OciSpec>,
}

impl Container {
    /// `None` if the answer names no container.
    pub(super) fn read(answer: StatusResponse) -> Option<Self> {
        let info = match answer.info.get("info") {
            Some(json) => {
                serde_json::from_str(json).map_err(|_| "CRI-O's info is not the JSON that is known")
            }
            None => Err("CRI-O gave no info"),
        };
        Some(Self { status: answer.status?, info })
    }

    pub(super) fn state(&self) -> State {
        self.status.state()
    }

    /// The main process. CRI-O keeps the pid of a process that has ended, so it counts only while the container runs; the
    /// process's cgroup decides when it is inspected.
    pub(super) fn main_process(&self) -> Option<u32> {
        let pid = u32::try_from(self.info.as_ref().ok()?.pid).ok()?;
        (self.state() == State::Running && pid != 0).then_some(pid)
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        time(self.status.started_at)
    }

    pub(super) fn finished_at(&self) -> Option<Timestamp> {
        time(self.status.finished_at)
    }

    pub(super) fn exit_status(&self) -> Option<u32> {
        u32::try_from(self.status.exit_code).ok()
    }

    /// What the image can be looked up by: its id, or what CRI-O recorded instead before version 1.29.
    pub(super) fn image_key(&self) -> &str {
        match self.status.image_id.as_str() {
            "" => &self.status.image_ref,
            id => id,
        }
    }

    /// The image as it was asked for.
    fn image_name(&self) -> &str {
        let Some(image) = &self.status.image else { return "" };
        match image.user_specified_image.as_str() {
            "" => &image.image,
            asked => asked,
        }
    }

    /// The workload. `image` is the container's image if it is still there; without `pid` the process was never seen.
    pub(super) fn workload(
        &self,
        version: &str,
        pid: Option<u32>,
        start_ticks: Option<u64>,
        image: Option<&Image>,
    ) -> Workload {
        let container = &self.status.id;
        let id = format!("cri-o://{container}");
        let spec = self.info.as_ref().ok().and_then(|info| info.runtime_spec.as_ref());
        let mut evidence = vec![match &self.info {
            Ok(info) => Evidence::new(Signal::CrioContainer, info.sandbox_id.clone()),
            Err(reason) => Evidence::new(Signal::CrioContainer, *reason),
        }];
        if pid.is_none() {
            let reason = "CRI-O told no process that runs, so its pid is not known";
            evidence.push(Evidence::new(Signal::CrioContainer, reason));
        }
        // A digest that CRI-O recorded with the container belongs to it, whatever repositories have by now.
        let recorded = [self.status.image_ref.clone()];
        let recorded = recorded[0].contains('@').then_some(&recorded[..]);
        let digests = recorded.or_else(|| image.map(|image| image.repo_digests.as_slice()));
        let tags = image.map(|image| image.repo_tags.as_slice()).unwrap_or_default();
        let found = repo_digests::image(self.image_name(), tags, digests);
        if let Some(reason) = found.as_ref().and_then(|found| found.without_digest) {
            evidence.push(Evidence::new(Signal::CrioImage, reason));
            evidence.push(Evidence::new(Signal::CrioImage, format!("image id {}", self.image_key())));
        }
        let pod = PodFacts::of(&self.status.labels);
        let name = self.status.metadata.as_ref().map(|metadata| metadata.name.clone());
        let platform = if pod.pod.is_some() { Platform::Kubernetes } else { Platform::Vm };
        Workload {
            engine: Engine::CriO,
            engine_version: Some(version.to_owned()),
            key: container.clone(),
            pid: pid.unwrap_or(0),
            start_ticks,
            started_at: self.started_at(),
            // `crio-<id>.scope`, or `<id>` without systemd.
            cgroup: Some(container.clone()),
            description: contract::Workload {
                namespace: pod.namespace,
                pod: pod.pod,
                container: pod.container.or(name),
                container_id: Some(id.clone()),
                image_ref: found.map(|found| found.reference),
                ..contract::Workload::new(platform)
            },
            entrypoint: spec.map(OciSpec::arguments).unwrap_or_default(),
            image_entrypoint: Vec::new(),
            evidence,
            prepared: None,
            declared: spec.map(|spec| Arc::new(spec.process().clone())),
            id,
        }
    }
}

/// Zero is a time that has not come.
fn time(nanos: i64) -> Option<Timestamp> {
    let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos != 0)?;
    Some(Timestamp::UNIX_EPOCH.saturating_add(Duration::from_nanos(nanos)))
}

/// The JSON of a container's `info`, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub fn container_info(json: &[u8]) {
    let Ok(json) = std::str::from_utf8(json) else { return };
    let status = Status { id: "c".repeat(64), state: State::Running.into(), ..Status::default() };
    let answer = StatusResponse { status: Some(status), info: [("info".to_owned(), json.to_owned())].into() };
    let container = Container::read(answer).expect("it has a status");
    let pid = container.main_process();
    assert!(pid.is_none_or(|pid| pid != 0));
    let workload = container.workload("1.36", pid, None, None);
    assert!(workload.cgroup.is_some() && !workload.evidence.is_empty());
}
