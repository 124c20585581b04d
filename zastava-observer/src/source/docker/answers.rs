//! The part of Docker Engine's answers that is read. What is absent or `null` is empty.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use zastava_core::clock::Timestamp;
use zastava_core::contract::EventKind;

use crate::workload::{DeclaredUser, PathVariables};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    /// There is always one: it tells Docker from whatever else may listen.
    pub(super) version: String,
}

/// A container in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
}

/// A container as `inspect` shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Facts {
    pub(super) name: String,
    /// Program and arguments.
    pub(super) path: String,
    pub(super) args: Option<Vec<String>>,
    /// The id of the image that the container was made of.
    pub(super) image: String,
    pub(super) state: State,
    pub(super) config: Config,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct State {
    pub(super) running: bool,
    /// Zero unless it runs.
    pub(super) pid: u32,
    pub(super) exit_code: i64,
    pub(super) started_at: String,
    pub(super) finished_at: String,
}

impl State {
    /// The main process, if the container runs.
    pub(super) fn main_process(&self) -> Option<u32> {
        (self.running && self.pid != 0).then_some(self.pid)
    }

    /// When the last run began; `None` before the first.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        time(&self.started_at)
    }

    /// When the last run ended.
    pub(super) fn finished_at(&self) -> Option<Timestamp> {
        time(&self.finished_at)
    }
}

/// Docker writes the first second of the year 1 for a time that has not come.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// The configuration of a container or of an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Config {
    /// In a container: the image as it was asked for.
    pub(super) image: String,
    pub(super) labels: Option<HashMap<String, String>>,
    pub(super) env: Option<PathVariables>,
    pub(super) working_dir: String,
    user: String,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

impl Config {
    /// A name stands for root: which number it has stands in a file of the container.
    pub(super) fn user_in_numbers(&self) -> DeclaredUser {
        let (user, group) = self.user.split_once(':').unwrap_or((&self.user, ""));
        let (uid, gid) = (user.parse().unwrap_or(0), group.parse().unwrap_or(0));
        DeclaredUser { uid, gid, ..DeclaredUser::default() }
    }

    /// What it declares to be executed.
    pub(super) fn entrypoint(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).flatten().cloned().collect()
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// An image as `inspect` shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Image {
    pub(super) repo_tags: Option<Vec<String>>,
    /// `repository@sha256:…`: where it was pulled from or pushed to.
    pub(super) repo_digests: Option<Vec<String>>,
    pub(super) config: Option<Config>,
}

/// A container started or ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Event {
    pub(super) action: String,
    pub(super) actor: Actor,
    #[serde(rename = "timeNano")]
    time_nano: u64,
}

/// The container that an event is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Actor {
    #[serde(rename = "ID")]
    pub(super) id: String,
    /// `image`, `name`, `exitCode`, and all labels.
    pub(super) attributes: HashMap<String, String>,
}

impl Event {
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(Duration::from_nanos(self.time_nano))
    }

    /// The event that Scanner gets of it.
    pub(super) fn kind(&self) -> EventKind {
        if self.action == "die" { EventKind::ContainerStop } else { EventKind::ContainerStart }
    }

    pub(super) fn exit_code(&self) -> Option<u32> {
        self.actor.attributes.get("exitCode")?.parse().ok()
    }
}
