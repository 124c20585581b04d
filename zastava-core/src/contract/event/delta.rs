//! How a workload differs from its image.

use serde::{Deserialize, Serialize};

/// How a workload differs from its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// The image that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_image_digest: Option<String>,
    /// Paths whose content differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_files: Vec<String>,
    /// Executables that the image does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_binaries: Vec<NewBinary>,
}

/// An executable that the image does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBinary {
    /// As seen inside the workload.
    pub path: String,
    /// Lower-case hex of the file's SHA-256.
    pub sha256: String,
}
