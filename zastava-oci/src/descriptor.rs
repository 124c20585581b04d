//! How one document points at another.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use zastava_core::image::Digest;

use crate::Platform;

/// The annotation that names an entry of `index.json`: a tag, or whatever the writer chose.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation by which containerd names what it imports: a complete image reference.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation that says what a blob is called as a file.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

/// What a blob is, its digest, and its size (OCI content descriptor). Members that this crate does not know are
/// ignored when read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The length of the content in bytes.
    pub size: u64,
    /// What kind of artifact a manifest describes, such as a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// In an index: the platform that the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Facts about the content by name.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes content by these three facts.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The name under which `index.json` lists the content: a complete reference if there is one, or a tag.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names().next()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [IMAGE_NAME, REF_NAME].into_iter().filter_map(|key| self.annotations.get(key).map(String::as_str))
    }
}

/// `blobs/sha256/<hex>` (OCI image layout specification, "Blobs").
pub(crate) fn blob_path(digest: Digest) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

/// Go writes an absent list or map as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
