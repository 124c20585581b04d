//! An event as the buffer holds it: its JSON, and its kind as a number.

use bytes::Bytes;
use zastava_buffer::{Kind, Record};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, KindStyle};

/// An event of the buffer.
#[derive(Clone, Debug)]
pub(super) struct StoredEvent {
    /// `None` for a kind that only a newer release knows.
    pub(super) kind: Option<EventKind>,
    pub(super) json: Bytes,
    pub(super) seq: u64,
}

impl StoredEvent {
    pub(super) fn of(record: &Record) -> Self {
        Self { kind: from_number(record.kind), json: record.bytes.clone(), seq: record.seq }
    }

    /// When the event happened; `None` if its JSON does not say.
    pub(super) fn at(&self) -> Option<Timestamp> {
        #[derive(serde::Deserialize)]
        struct Envelope {
            event: Event,
        }
        #[derive(serde::Deserialize)]
        struct Event {
            when: Timestamp,
        }
        serde_json::from_slice::<Envelope>(&self.json).ok().map(|envelope| envelope.event.when)
    }
}

/// The kind's number in the buffer: its place in [`EventKind::ALL`], which grows only at its end.
pub(super) fn to_number(kind: EventKind) -> Kind {
    let place = EventKind::ALL.iter().position(|known| *known == kind);
    Kind(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX))
}

pub(super) fn from_number(kind: Kind) -> Option<EventKind> {
    EventKind::ALL.get(usize::from(kind.0)).copied()
}

/// The value of the metrics' label `kind`.
pub(super) fn kind_name(kind: Option<EventKind>) -> &'static str {
    kind.map_or("unknown", |kind| kind.name(KindStyle::Pascal))
}
