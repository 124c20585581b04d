//! One dead letter.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zastava_core::clock::Timestamp;
use zastava_core::contract::RuntimeEventEnvelope;

use crate::hash::short_hash;

/// Enough to name one of the letters that fit in the files.
const ID_LENGTH: usize = 12;

/// An event that Scanner refused for good.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Names the letter in commands.
    pub id: String,
    /// When Scanner refused it.
    pub at: Timestamp,
    /// What Scanner said.
    pub reason: String,
    /// The event as it was sent. Text, if it was no JSON.
    pub event: Box<RawValue>,
    /// The line in the file, with its end.
    #[serde(skip)]
    pub(super) line: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Line<R, E> {
    at: Timestamp,
    reason: R,
    event: E,
}

/// The line of an event.
pub(super) fn write_line(json: &[u8], reason: &str, at: Timestamp) -> io::Result<Vec<u8>> {
    // If an event is not JSON, another program has written to the buffer.
    let text = serde_json::to_string(&String::from_utf8_lossy(json))?;
    let event: &RawValue = serde_json::from_slice(json).or_else(|_| serde_json::from_str(&text))?;
    let mut line = serde_json::to_vec(&Line { at, reason, event })?;
    line.push(b'\n');
    Ok(line)
}

impl DeadLetter {
    pub(super) fn of_line(line: &[u8]) -> Option<Self> {
        let Line { at, reason, event } = serde_json::from_slice::<Line<String, Box<RawValue>>>(line).ok()?;
        let mut id = short_hash([line]);
        id.truncate(ID_LENGTH);
        Some(Self { id, at, reason, event, line: line.to_owned() })
    }

    /// The event, if this release can read it.
    #[must_use]
    pub fn envelope(&self) -> Option<RuntimeEventEnvelope> {
        serde_json::from_str(self.event.get()).ok()
    }

    /// Whether it is an event at all, of this release or of another.
    pub(super) fn is_event(&self) -> bool {
        self.event.get().starts_with('{')
    }
}
