//! The configuration of an image, in Rust's types.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use zastava_core::image::Digest;

use super::ReadError;
use super::json::parse;
use super::place::Document;
use crate::Platform;
use crate::descriptor::null_is_default;

/// The configuration of an image. Members that this crate does not know are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageConfig {
    /// What the programs are for.
    pub platform: Platform,
    /// When the image was made, in the writer's own spelling of RFC 3339.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// How its program is started.
    pub process: ProcessConfig,
    /// The digests of the uncompressed layers, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// How it was made, the first step first.
    pub history: Vec<HistoryEntry>,
}

/// How the program of an image is started, unless a container's own settings differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// The program and its first arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// The arguments after them, or the program if there is no entry point.
    #[serde(rename = "Cmd", deserialize_with = "null_is_default")]
    pub command: Vec<String>,
    /// The environment: `NAME=value`.
    #[serde(rename = "Env", deserialize_with = "null_is_default")]
    pub environment: Vec<String>,
    /// User and group, by number or name: `user`, `user:group`. Empty means root.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// The directory it starts in. Empty means the root.
    #[serde(rename = "WorkingDir", deserialize_with = "null_is_default")]
    pub working_directory: String,
    /// Facts about the image by name.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end.
    pub stop_signal: Option<String>,
    /// The ports that the program listens on, such as `8080/tcp`.
    #[serde(rename = "ExposedPorts", deserialize_with = "keys")]
    pub ports: Vec<String>,
    /// The directories whose content does not belong to the image while it runs.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
}

impl ProcessConfig {
    /// The value of an environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        let pairs = self.environment.iter().filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }
}

/// One step that made an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// When.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// Who.
    pub author: Option<String>,
    /// What somebody noted.
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

#[derive(Deserialize)]
struct RawConfig {
    created: Option<String>,
    author: Option<String>,
    architecture: String,
    os: String,
    variant: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    config: ProcessConfig,
    rootfs: RawRootFs,
    #[serde(default, deserialize_with = "null_is_default")]
    history: Vec<HistoryEntry>,
}

#[derive(Deserialize)]
struct RawRootFs {
    #[serde(deserialize_with = "null_is_default")]
    diff_ids: Vec<Digest>,
}

/// The configuration writes a set as the keys of a map.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
    Ok(map.into_iter().flat_map(BTreeMap::into_keys).collect())
}

impl ImageConfig {
    pub(super) fn read(digest: Digest, bytes: &[u8]) -> Result<Self, ReadError> {
        let raw: RawConfig = parse(&Document::Blob(digest), bytes)?;
        Ok(Self {
            platform: Platform::new(raw.os, raw.architecture, raw.variant),
            created: raw.created,
            author: raw.author,
            process: raw.config,
            diff_ids: raw.rootfs.diff_ids,
            history: raw.history,
        })
    }
}
