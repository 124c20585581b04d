//! How a workload differs from its image.

use serde::{Deserialize, Serialize};

/// How a workload differs from its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// The digest of the image that the workload was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_image_digest: Option<String>,
    /// Paths of files whose content differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_files: Vec<String>,
    /// Executables that are not in the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_binaries: Vec<NewBinary>,
}

/// An executable that is not in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBinary {
    /// The path inside the workload.
    pub path: String,
    /// Lower-case hex of the file's SHA-256.
    pub sha256: String,
}
