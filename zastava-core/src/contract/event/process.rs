//! The main process of a workload, and the libraries that it has loaded.

use serde::{Deserialize, Serialize};

/// The workload's main process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The process id in the node's pid namespace.
    pub pid: u32,
    /// The program and its arguments, limited in number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The steps from the entrypoint to the running program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entry_trace: Vec<EntryTrace>,
    /// Lower-case hex of the executable's `NT_GNU_BUILD_ID` note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}

/// One step from the entrypoint to the running program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryTrace {
    /// The script or program that took the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The kind of step, such as `exec` or `shebang`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The program or script that it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A library that the main process has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedLibrary {
    /// The path inside the workload.
    pub path: String,
    /// The file's inode number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Lower-case hex of the file's SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Lower-case hex of the file's `NT_GNU_BUILD_ID` note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}
