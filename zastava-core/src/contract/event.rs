//! The runtime event: observer to Scanner.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::version::SchemaVersion;
use crate::clock::Timestamp;
use crate::vocabulary::{Annotation, Engine, Platform, Signal, Word};

/// `{"schemaVersion": "zastava.runtime.event@v1.0", "event": {…}}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEventEnvelope {
    /// What the event is written in.
    pub schema_version: SchemaVersion,
    /// The event itself.
    pub event: RuntimeEvent,
}

impl RuntimeEventEnvelope {
    /// The event in the version that this release writes.
    #[must_use]
    pub fn new(event: RuntimeEvent) -> Self {
        Self { schema_version: SchemaVersion::RUNTIME_EVENT, event }
    }

    /// Compact JSON with the kind spelled in `style`.
    ///
    /// # Errors
    /// When a path or argument cannot be written as JSON, which text never causes.
    pub fn encode(&self, style: KindStyle) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Encoded<'a> {
            schema_version: &'a SchemaVersion,
            event: Styled<'a>,
        }
        let event = Styled { event: &self.event, style };
        serde_json::to_vec(&Encoded { schema_version: &self.schema_version, event })
    }
}

/// Something that happened to a workload on a node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEvent {
    /// Stable over retries and restarts; made by [`event_id`].
    pub event_id: String,
    /// When it happened, not when it was sent.
    pub when: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Whose node it is.
    pub tenant: String,
    /// The node's name; Scanner limits the rate by it.
    pub node: String,
    /// What runs the workload.
    #[serde(rename = "runtime")]
    pub engine: EngineIdentity,
    /// What it happened to.
    pub workload: Workload,
    /// The workload's main process, as far as it could be read.
    #[serde(default)]
    pub process: Option<Process>,
    /// Shared objects mapped into the main process.
    #[serde(default)]
    pub loaded_libs: Vec<LoadedLibrary>,
    /// What is known of the image's signatures.
    #[serde(default)]
    pub posture: Option<Posture>,
    /// How the workload differs from its image.
    #[serde(default)]
    pub delta: Option<Delta>,
    /// Where the facts came from.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Anything else, as text.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl RuntimeEvent {
    /// An event with its required members and nothing else.
    #[must_use]
    pub fn new(
        event_id: String,
        when: Timestamp,
        kind: EventKind,
        tenant: String,
        node: String,
        engine: EngineIdentity,
        workload: Workload,
    ) -> Self {
        Self {
            event_id,
            when,
            kind,
            tenant,
            node,
            engine,
            workload,
            process: None,
            loaded_libs: Vec::new(),
            posture: None,
            delta: None,
            evidence: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Adds an annotation of the vocabulary.
    pub fn annotate(&mut self, key: Annotation, value: impl Into<String>) {
        self.annotations.insert(key.to_string(), value.into());
    }
}

impl Serialize for RuntimeEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Styled { event: self, style: KindStyle::Pascal }.serialize(serializer)
    }
}

/// Written by hand, since derived code cannot be told how to spell the kind.
struct Styled<'a> {
    event: &'a RuntimeEvent,
    style: KindStyle,
}

impl Serialize for Styled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let mut out = serializer.serialize_struct("RuntimeEvent", 13)?;
        out.serialize_field("eventId", &event.event_id)?;
        out.serialize_field("when", &event.when)?;
        out.serialize_field("kind", event.kind.name(self.style))?;
        out.serialize_field("tenant", &event.tenant)?;
        out.serialize_field("node", &event.node)?;
        out.serialize_field("runtime", &event.engine)?;
        out.serialize_field("workload", &event.workload)?;
        if let Some(process) = &event.process {
            out.serialize_field("process", process)?;
        }
        if !event.loaded_libs.is_empty() {
            out.serialize_field("loadedLibs", &event.loaded_libs)?;
        }
        if let Some(posture) = &event.posture {
            out.serialize_field("posture", posture)?;
        }
        if let Some(delta) = &event.delta {
            out.serialize_field("delta", delta)?;
        }
        if !event.evidence.is_empty() {
            out.serialize_field("evidence", &event.evidence)?;
        }
        if !event.annotations.is_empty() {
            out.serialize_field("annotations", &event.annotations)?;
        }
        out.end()
    }
}

/// The event's identity: the same facts give the same id on every run, so that a re-scan after a
/// crash repeats an event instead of doubling it.
///
/// `discriminator` tells events of one kind for one container apart, such as the start time.
#[must_use]
pub fn event_id(tenant: &str, node: &str, container: &str, kind: EventKind, discriminator: &str) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, node, container, kind.name(KindStyle::Pascal), discriminator] {
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A workload began to run.
    ContainerStart,
    /// A workload ended.
    ContainerStop,
    /// A workload runs something that its image does not hold.
    Drift,
    /// A workload broke a policy.
    PolicyViolation,
    /// What is known of an image's attestations changed.
    AttestationStatus,
}

/// How an [`EventKind`] is spelled on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two spellings that Scanner releases know")]
pub enum KindStyle {
    /// `ContainerStart`
    #[default]
    Pascal,
    /// `CONTAINER_START`
    Screaming,
}

impl EventKind {
    /// Every kind, in declared order.
    pub const ALL: [Self; 5] = [
        Self::ContainerStart,
        Self::ContainerStop,
        Self::Drift,
        Self::PolicyViolation,
        Self::AttestationStatus,
    ];

    /// The kind's name on the wire.
    #[must_use]
    pub fn name(self, style: KindStyle) -> &'static str {
        let (pascal, screaming) = match self {
            Self::ContainerStart => ("ContainerStart", "CONTAINER_START"),
            Self::ContainerStop => ("ContainerStop", "CONTAINER_STOP"),
            Self::Drift => ("Drift", "DRIFT"),
            Self::PolicyViolation => ("PolicyViolation", "POLICY_VIOLATION"),
            Self::AttestationStatus => ("AttestationStatus", "ATTESTATION_STATUS"),
        };
        match style {
            KindStyle::Pascal => pascal,
            KindStyle::Screaming => screaming,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name(KindStyle::Pascal))
    }
}

/// The text names no kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of runtime event")]
pub struct EventKindError;

impl FromStr for EventKind {
    type Err = EventKindError;

    /// Any case, with or without underscores.
    fn from_str(text: &str) -> Result<Self, EventKindError> {
        let letters = text.replace('_', "");
        Self::ALL
            .into_iter()
            .find(|kind| letters.eq_ignore_ascii_case(kind.name(KindStyle::Pascal)))
            .ok_or(EventKindError)
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What runs the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineIdentity {
    /// Which engine.
    #[serde(rename = "engine")]
    pub name: Word<Engine>,
    /// The engine's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl EngineIdentity {
    /// An engine whose version is not known.
    #[must_use]
    pub fn new(name: Engine) -> Self {
        Self { name: name.into(), version: None }
    }
}

/// What an event happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// What the workload belongs to.
    pub platform: Word<Platform>,
    /// Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Container name within the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// With the engine in front: `containerd://<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// `repository@sha256:…` whenever the digest is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// What made the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Workload {
    /// A workload of which only the platform is known.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self {
            platform: platform.into(),
            namespace: None,
            pod: None,
            container: None,
            container_id: None,
            image_ref: None,
            owner: None,
        }
    }
}

/// What made a workload, such as a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
}

/// The workload's main process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// In the node's pid namespace.
    pub pid: u32,
    /// Program and arguments; capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// How the entrypoint led to the program that runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entry_trace: Vec<EntryTrace>,
    /// Lower-case hex of the executable's `NT_GNU_BUILD_ID` note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}

/// One step from the entrypoint to the program that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryTrace {
    /// The script or program that took the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it did, such as `exec` or `shebang`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// What it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A shared object mapped into the main process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedLibrary {
    /// As seen inside the workload.
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

/// What is known of the image's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// Whether the image carries a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_signed: Option<bool>,
    /// `present`, `missing`, or the referrer's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom_referrer: Option<String>,
    /// The image's attestation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
}

/// An attestation in a transparency log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The log entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether it was checked and held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}

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

/// Where a fact came from, or why it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the fact was read from.
    pub signal: Word<Signal>,
    /// What it said, or the reason.
    pub value: String,
}

impl Evidence {
    /// Evidence of a listed signal.
    #[must_use]
    pub fn new(signal: Signal, value: impl Into<String>) -> Self {
        Self { signal: signal.into(), value: value.into() }
    }
}
