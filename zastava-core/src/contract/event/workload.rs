//! What an event is about, and the engine that runs it.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Engine, Platform, Word};

/// An engine and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineIdentity {
    /// The engine.
    #[serde(rename = "engine")]
    pub name: Word<Engine>,
    /// The engine's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl EngineIdentity {
    /// An engine whose version is not known.
    #[must_use]
    pub fn new(name: Engine) -> Self {
        Self { name: name.into(), version: None }
    }
}

/// The workload that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// What the workload belongs to.
    pub platform: Word<Platform>,
    /// Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Container name within the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The id with the engine as prefix: `containerd://<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// `repository@sha256:…` whenever the digest is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// What created the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Workload {
    /// A workload with only its platform.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            platform: platform.into(),
            namespace: None,
            pod: None,
            container: None,
            container_id: None,
            image_ref: None,
            owner: None,
        }
    }
}

/// What created a workload, such as a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
}
