//! The part of a container's OCI runtime specification (config.md) that is read.

use std::collections::HashMap;

use serde::Deserialize;

use crate::workload::DeclaredProcess;

/// A container's specification. What is absent or `null` is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OciSpec {
    process: DeclaredProcess,
    annotations: Option<HashMap<String, String>>,
    linux: Linux,
    root: Root,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Root {
    path: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
}

impl OciSpec {
    /// Parses JSON; `None` if it is no specification.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Program and arguments.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.process.args.clone()
    }

    /// The process that the container executes first.
    pub(super) fn process(&self) -> &DeclaredProcess {
        &self.process
    }

    /// The directory that becomes the container's root, relative to the specification's. Docker Engine has it elsewhere.
    pub(super) fn root(&self) -> Option<&str> {
        self.root.path.as_deref()
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// What the main process's cgroup path must contain: the last name of `/kubepods/…/<id>`, or the name
    /// in systemd's `slice:prefix:name`.
    pub(super) fn cgroup_name(&self) -> Option<&str> {
        self.linux.cgroups_path.as_deref()?.rsplit(['/', ':']).next().filter(|name| !name.is_empty())
    }
}
