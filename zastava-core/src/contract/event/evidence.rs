//! The origin of each fact in an event.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Signal, Word};

/// Where a fact came from, or why it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The origin.
    pub signal: Word<Signal>,
    /// What was found there, or why the fact is missing.
    pub value: String,
}

impl Evidence {
    /// Evidence from a listed signal.
    #[must_use]
    pub fn new(signal: Signal, value: impl Into<String>) -> Self {
        Self { signal: signal.into(), value: value.into() }
    }
}
