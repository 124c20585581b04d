//! A signature, an SBOM or another document beside an image.

use std::collections::BTreeMap;

use serde_json::json;

use super::blobs::Blobs;
use crate::descriptor::{Descriptor, TITLE};
use crate::media_type::{EMPTY, MANIFEST};

/// The content of every empty blob (OCI image manifest specification, "Guidance for an Empty Descriptor").
const NOTHING: &[u8] = b"{}";

/// An artifact: a manifest of documents that are not file-system layers. With a [subject](Self::subject) it
/// is a referrer of that image.
///
/// [`Layout::add`](super::Layout::add) puts it into a layout.
#[derive(Clone, Debug)]
#[must_use = "an artifact is written with a layout"]
pub struct Artifact {
    artifact_type: String,
    subject: Option<Descriptor>,
    files: Vec<(String, String, Vec<u8>)>,
    annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// An artifact of this type, a media type such as `application/vnd.cyclonedx+json`.
    pub fn new(artifact_type: impl Into<String>) -> Self {
        Self {
            artifact_type: artifact_type.into(),
            subject: None,
            files: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// The manifest or index that the artifact is about. It may be in another layout.
    pub fn subject(mut self, subject: Descriptor) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Adds a document. `oras pull` writes it to a file called `title`.
    pub fn file(
        mut self,
        title: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        self.files.push((title.into(), media_type.into(), bytes.into()));
        self
    }

    /// Adds a fact about the artifact. Registries show it to whoever lists an image's referrers.
    pub fn annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Adds the artifact's blobs. Returns the manifest's descriptor for `index.json`.
    pub(super) fn add_to(self, blobs: &mut Blobs) -> Descriptor {
        let config = blobs.add(EMPTY, NOTHING.to_vec());
        let mut layers: Vec<_> = self
            .files
            .into_iter()
            .map(|(title, media_type, bytes)| {
                let mut layer = blobs.add(&media_type, bytes);
                layer.annotations.insert(TITLE.to_owned(), title);
                layer
            })
            .collect();
        if layers.is_empty() {
            layers.push(config.clone());
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.artifact_type,
            "config": config,
            "layers": layers,
        });
        if let Some(Descriptor { media_type, digest, size, .. }) = self.subject {
            manifest["subject"] = json!(Descriptor::new(media_type, digest, size));
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = json!(self.annotations);
        }
        let mut descriptor = blobs.add_json(MANIFEST, &manifest);
        descriptor.artifact_type = Some(self.artifact_type);
        descriptor.annotations = self.annotations;
        descriptor
    }
}
