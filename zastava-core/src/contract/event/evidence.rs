//! The origin of each fact in an event.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Signal, Word};

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
