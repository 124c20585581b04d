//! Describes an image for one platform: its files, and how its program is started.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;

use super::layer::{Compression, Entry, Layer};
use super::{Layout, WriteError};
use crate::Platform;

/// Describes an image for one platform. [`build`](Self::build) makes it.
///
/// Nothing is checked before `build`, so that a description is one chain of calls.
#[derive(Clone, Debug)]
#[must_use = "`build` makes the image"]
pub struct ImageBuilder {
    pub(super) reference: String,
    pub(super) platform: Platform,
    pub(super) labels: BTreeMap<String, String>,
    layers: Vec<Vec<Entry>>,
    compression: Compression,
    created: Timestamp,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    user: Option<(u32, u32)>,
    working_directory: Option<String>,
}

impl ImageBuilder {
    /// An empty image for linux/amd64, with the name `registry/repository:tag`.
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            platform: Platform::default(),
            labels: BTreeMap::new(),
            layers: Vec::new(),
            compression: Compression::default(),
            created: Timestamp::UNIX_EPOCH,
            entrypoint: Vec::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            user: None,
            working_directory: None,
        }
    }

    /// Sets the platform that the programs are for.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Sets the time of creation that the configuration states, such as the commit's. Files keep the time 0, so that
    /// the same files always make the same layer.
    pub fn created(mut self, created: Timestamp) -> Self {
        self.created = created;
        self
    }

    /// Sets how layers are stored. The default is gzip.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Adds a layer above the others.
    pub fn layer(mut self, entries: impl IntoIterator<Item = Entry>) -> Self {
        self.layers.push(entries.into_iter().collect());
        self
    }

    /// Adds a layer with one program, and makes it the entry point.
    pub fn program(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.layer([Entry::file(path, 0o755, bytes)]).entrypoint([path])
    }

    /// Sets the program and the arguments that every container starts with.
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the arguments that a container has by default.
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets the user and group that the program runs as. Kubernetes can enforce `runAsNonRoot` for numbers only.
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Sets the directory that the program starts in.
    pub fn working_directory(mut self, path: impl Into<String>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// Sets a label of the configuration, which is also an annotation of the manifest and the index. The OCI
    /// annotations specification defines the names `org.opencontainers.image.*`.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Makes the image, for this platform alone.
    ///
    /// # Errors
    /// [`WriteError::Reference`], [`WriteError::NotTagged`], [`WriteError::Path`] and [`WriteError::Conflict`] name
    /// what cannot be in an image.
    pub fn build(self) -> Result<Layout, WriteError> {
        Layout::build([self])
    }

    pub(super) fn pack(&self) -> Result<Vec<Layer>, WriteError> {
        self.layers.iter().map(|entries| Layer::pack(entries, self.compression)).collect()
    }

    /// The OCI image configuration.
    pub(super) fn configuration(&self, layers: &[Layer]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let mut configuration = json!(self.platform);
        configuration["created"] = json!(self.created);
        configuration["config"] = self.process();
        configuration["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        configuration
    }

    /// Empty members are left out: the specification makes all of them optional.
    fn process(&self) -> Value {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut process = json!({});
        let mut set = |name: &str, given: bool, value: Value| {
            if given {
                process[name] = value;
            }
        };
        set("Entrypoint", !self.entrypoint.is_empty(), json!(self.entrypoint));
        set("Cmd", !self.command.is_empty(), json!(self.command));
        set("Env", !environment.is_empty(), json!(environment));
        set("Labels", !self.labels.is_empty(), json!(self.labels));
        set("WorkingDir", self.working_directory.is_some(), json!(self.working_directory));
        let user = self.user.map(|(uid, gid)| format!("{uid}:{gid}"));
        set("User", user.is_some(), json!(user));
        process
    }
}
