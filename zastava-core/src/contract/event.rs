//! The runtime event, which the observer sends to Scanner.

mod delta;
mod evidence;
mod kind;
mod posture;
mod process;
mod workload;

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

pub use delta::{Delta, NewBinary};
pub use evidence::Evidence;
pub use kind::{EventKind, EventKindError, KindStyle};
pub use posture::{Attestation, Posture};
pub use process::{EntryTrace, LoadedLibrary, Process};
pub use workload::{EngineIdentity, Owner, Workload};

use super::version::SchemaVersion;
use crate::clock::Timestamp;
use crate::vocabulary::Annotation;

/// `{"schemaVersion": "zastava.runtime.event@v1.0", "event": {…}}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEventEnvelope {
    /// The version of the schema.
    pub schema_version: SchemaVersion,
    /// The event.
    pub event: RuntimeEvent,
}

impl RuntimeEventEnvelope {
    /// Wraps the event in the schema version that this release writes.
    #[must_use]
    pub fn new(event: RuntimeEvent) -> Self {
        Self { schema_version: SchemaVersion::RUNTIME_EVENT, event }
    }

    /// Compact JSON with the kind spelled in `style`.
    ///
    /// # Errors
    /// The value cannot be written as JSON. A `RuntimeEvent` always can.
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
    /// The same for every retry and after a restart; see [`event_id`].
    pub event_id: String,
    /// The time of the change, not of sending.
    pub when: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The tenant that owns the node.
    pub tenant: String,
    /// The node's name. Scanner limits the rate of each node.
    pub node: String,
    /// The engine that runs the workload.
    #[serde(rename = "runtime")]
    pub engine: EngineIdentity,
    /// The workload.
    pub workload: Workload,
    /// The main process, as far as it could be read.
    #[serde(default)]
    pub process: Option<Process>,
    /// Libraries that the main process has loaded.
    #[serde(default)]
    pub loaded_libs: Vec<LoadedLibrary>,
    /// What is known about the image's signatures.
    #[serde(default)]
    pub posture: Option<Posture>,
    /// How the workload differs from its image.
    #[serde(default)]
    pub delta: Option<Delta>,
    /// The origins of the facts, and the reasons for missing ones.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Further facts, as text.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl RuntimeEvent {
    /// An event with only the required members.
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

/// Serialized by hand, since derived code cannot choose the spelling of the kind.
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

/// The id of an event. The same facts always give the same id, so Scanner recognises an event that is
/// sent again after a crash.
///
/// `discriminator` distinguishes events of one kind for one container; it is, for example, the start time.
#[must_use]
// docs/design/core.md#why-is-the-event-id-a-hash-of-tenant-node-container-kind-discriminator
pub fn event_id(tenant: &str, node: &str, container: &str, kind: EventKind, discriminator: &str) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, node, container, kind.name(KindStyle::Pascal), discriminator] {
        // The length prefix keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.finalize())
}
