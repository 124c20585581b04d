//! A workload in the file: what its stop event and looks at its processes need.

use serde::{Deserialize, Serialize};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{self, Evidence};

use crate::workload::Workload;

/// Command lines are left out: they may hold secrets, and only a start event has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredWorkload {
    pub(super) engine: String,
    #[serde(default)]
    engine_version: Option<String>,
    pub(super) key: String,
    id: String,
    pid: u32,
    #[serde(default)]
    start_ticks: Option<u64>,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    cgroup: Option<String>,
    description: contract::Workload,
    #[serde(default)]
    evidence: Vec<Evidence>,
}

impl StoredWorkload {
    pub(super) fn of(workload: &Workload) -> Self {
        Self {
            engine: workload.engine.to_string(),
            engine_version: workload.engine_version.clone(),
            key: workload.key.clone(),
            id: workload.id.clone(),
            pid: workload.pid,
            start_ticks: workload.start_ticks,
            started_at: workload.started_at,
            cgroup: workload.cgroup.clone(),
            description: workload.description.clone(),
            evidence: workload.evidence.clone(),
        }
    }

    /// The workload; `None` if its engine is one that only a newer release knows.
    pub(super) fn workload(self) -> Option<Workload> {
        Some(Workload {
            engine: self.engine.parse().ok()?,
            engine_version: self.engine_version,
            key: self.key,
            id: self.id,
            pid: self.pid,
            start_ticks: self.start_ticks,
            started_at: self.started_at,
            cgroup: self.cgroup,
            description: self.description,
            entrypoint: Vec::new(),
            image_entrypoint: Vec::new(),
            evidence: self.evidence,
            prepared: None,
            declared: None,
        })
    }
}
