//! What an image holds and how its program is started, for one platform.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;

use super::layer::{Compression, Entry, Layer};
use super::{Layout, Platform};
use crate::Error;

/// An image for one platform, to be described and then made by [`layout`](Self::layout).
///
/// Nothing is checked before that: a chain of calls reads as what it is.
#[derive(Clone, Debug)]
#[must_use = "an image is made by `layout`"]
pub struct Image {
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

impl Image {
    /// An empty image, FROM scratch, for linux/amd64, with the name `registry/repository:tag`.
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

    /// The platform that its programs are for.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// When it was made, by its own word: a commit's time. Files in it have the time 0 all the same, so that a
    /// layer whose files are the same is the same.
    pub fn created(mut self, created: Timestamp) -> Self {
        self.created = created;
        self
    }

    /// How layers are stored; gzip when nobody says.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// One more layer, above those before.
    pub fn layer(mut self, entries: impl IntoIterator<Item = Entry>) -> Self {
        self.layers.push(entries.into_iter().collect());
        self
    }

    /// A layer with one program, which is what the container runs.
    pub fn program(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.layer([Entry::file(path, 0o755, bytes)]).entrypoint([path])
    }

    /// What the container runs, always.
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// The arguments, unless others are given.
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The numbers of user and group it runs as. Numbers, since only they let Kubernetes see `runAsNonRoot` kept.
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Where it runs.
    pub fn working_directory(mut self, path: impl Into<String>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// A label of the configuration, which is also an annotation of the manifest and the index. Names:
    /// `org.opencontainers.image.*` of the OCI annotations specification.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Makes the image, for this platform alone.
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::NotTagged`], [`Error::Path`], [`Error::Conflict`]: the image cannot be as
    /// it was described.
    pub fn layout(self) -> Result<Layout, Error> {
        Layout::of([self])
    }

    pub(super) fn pack(&self) -> Result<Vec<Layer>, Error> {
        self.layers.iter().map(|entries| Layer::pack(entries, self.compression)).collect()
    }

    /// OCI image configuration: what runs, and the layers it runs on.
    pub(super) fn configuration(&self, layers: &[Layer]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        json!({
            "architecture": self.platform.architecture(),
            "os": "linux",
            "created": self.created,
            "config": self.process(),
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    }

    /// Empty members are left out, as the specification has them all optional.
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
