//! Indexes and manifests, told apart strictly: a document that could be both is refused (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ReadError;
use super::json::parse;
use super::place::{Document, Place};
use crate::descriptor::{Descriptor, null_is_default};

/// A manifest: a configuration and layers, or an artifact's documents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// What kind of artifact it is; `None` for images.
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first, or the documents of an artifact.
    pub layers: Vec<Descriptor>,
    /// The manifest or index that it refers to.
    pub subject: Option<Descriptor>,
    /// Facts about it by name.
    pub annotations: BTreeMap<String, String>,
}

/// An index: manifests, and further indexes.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) artifact_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
    pub(super) subject: Option<Descriptor>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Both kinds of document, as they may be written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
    /// Docker's first format.
    fs_layers: Option<IgnoredAny>,
}

impl RawDocument {
    fn read(document: &Document, bytes: &[u8], media_type: Option<&str>) -> Result<Self, ReadError> {
        let raw: Self = parse(document, bytes)?;
        let confused =
            |at, fault| Err(ReadError::Confused { place: Place::new(document.clone(), at), fault });
        if raw.schema_version != 2 {
            return confused("schemaVersion", "is not 2");
        }
        if raw.media_type.is_some() && media_type.is_some() && raw.media_type.as_deref() != media_type {
            return confused("mediaType", "is not that of the descriptor");
        }
        if raw.fs_layers.is_some() {
            return confused("fsLayers", "belongs to no document of this version");
        }
        Ok(raw)
    }
}

impl Manifest {
    pub(super) fn read(descriptor: &Descriptor, bytes: &[u8]) -> Result<Self, ReadError> {
        let document = Document::Blob(descriptor.digest);
        let raw = RawDocument::read(&document, bytes, Some(&descriptor.media_type))?;
        let confused = |at, fault| ReadError::Confused { place: Place::new(document.clone(), at), fault };
        if raw.manifests.is_some() {
            return Err(confused("manifests", "does not belong in a manifest"));
        }
        Ok(Self {
            artifact_type: raw.artifact_type,
            config: raw.config.ok_or_else(|| confused("config", "is missing"))?,
            layers: raw.layers.ok_or_else(|| confused("layers", "is missing"))?,
            subject: raw.subject,
            annotations: raw.annotations,
        })
    }
}

impl Index {
    /// `media_type` is `None` for `index.json`, which no descriptor names.
    pub(super) fn read(
        document: Document,
        bytes: &[u8],
        media_type: Option<&str>,
    ) -> Result<Self, ReadError> {
        let raw = RawDocument::read(&document, bytes, media_type)?;
        for (at, is_there) in [("config", raw.config.is_some()), ("layers", raw.layers.is_some())] {
            if is_there {
                let fault = "does not belong in an index";
                return Err(ReadError::Confused { place: Place::new(document, at), fault });
            }
        }
        Ok(Self {
            artifact_type: raw.artifact_type,
            // Go writes an empty list as null.
            manifests: raw.manifests.unwrap_or_default(),
            subject: raw.subject,
            annotations: raw.annotations,
        })
    }
}
