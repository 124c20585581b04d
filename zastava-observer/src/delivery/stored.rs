//! An event as the buffer holds it: its JSON, and its kind and lane as a number.

use bytes::Bytes;
use zastava_buffer::{Kind, Record};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, KindStyle};

use super::lanes::Lane;

/// Set in the number of an event that is in the backlog.
const BACKLOG: u8 = 0x80;
/// Stands for a kind without a number.
const NO_KIND: u8 = 0x7f;

/// An event of the buffer.
#[derive(Clone, Debug)]
pub(super) struct StoredEvent {
    /// `None` for a kind that only a newer release knows.
    pub(super) kind: Option<EventKind>,
    pub(super) lane: Lane,
    pub(super) json: Bytes,
    pub(super) seq: u64,
}

/// What delivery reads in an event. Parts that its JSON does not have are empty.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `None` for a kind that only a newer release knows.
    pub(super) kind: Option<EventKind>,
    /// When it happened.
    pub(super) at: Option<Timestamp>,
    /// The id of the workload.
    pub(super) workload: String,
}

impl StoredEvent {
    pub(super) fn of(record: &Record) -> Self {
        let lane = if record.kind.0 & BACKLOG == 0 { Lane::Live } else { Lane::Backlog };
        Self { kind: from_number(record.kind), lane, json: record.bytes.clone(), seq: record.seq }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts::of(&self.json)
    }
}

impl Facts {
    pub(super) fn of(json: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Envelope {
            event: Event,
        }
        #[derive(serde::Deserialize)]
        struct Event {
            kind: Option<serde_json::Value>,
            when: Option<Timestamp>,
            workload: Option<Workload>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Workload {
            container_id: Option<String>,
        }
        let Ok(Envelope { event }) = serde_json::from_slice(json) else { return Self::default() };
        let kind = event.kind.and_then(|kind| serde_json::from_value(kind).ok());
        let workload = event.workload.and_then(|workload| workload.container_id).unwrap_or_default();
        Self { kind, at: event.when, workload }
    }
}

/// The event's number in the buffer: the kind's place in [`EventKind::ALL`], which grows only at its end, and the lane.
pub(super) fn to_number(kind: Option<EventKind>, lane: Lane) -> Kind {
    let place = EventKind::ALL.iter().position(|known| Some(*known) == kind);
    let kind = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(NO_KIND);
    match lane {
        Lane::Live => Kind(kind),
        Lane::Backlog => Kind(kind | BACKLOG),
    }
}

/// The numbers of all kinds in the backlog.
pub(super) fn numbers_of_backlog() -> impl Iterator<Item = Kind> {
    (BACKLOG..=u8::MAX).map(Kind)
}

pub(super) fn from_number(kind: Kind) -> Option<EventKind> {
    EventKind::ALL.get(usize::from(kind.0 & !BACKLOG)).copied()
}

/// The value of the metrics' label `kind`.
pub(super) fn kind_name(kind: Option<EventKind>) -> &'static str {
    kind.map_or("unknown", |kind| kind.name(KindStyle::Pascal))
}
