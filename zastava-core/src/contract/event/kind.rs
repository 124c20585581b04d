//! The kinds of runtime events, and their two spellings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The kind of a runtime event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A workload started.
    ContainerStart,
    /// A workload stopped.
    ContainerStop,
    /// A workload differs from its image.
    Drift,
    /// A workload violates a policy.
    PolicyViolation,
    /// The attestations of an image changed.
    AttestationStatus,
}

/// How an [`EventKind`] is spelled on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two spellings that releases of Scanner accept")]
pub enum KindStyle {
    /// `ContainerStart`
    #[default]
    Pascal,
    /// `CONTAINER_START`
    Screaming,
}

impl EventKind {
    /// All kinds, in declared order.
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

/// The text is not the name of an event kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of runtime event")]
pub struct EventKindError;

impl FromStr for EventKind {
    type Err = EventKindError;

    /// Accepts any case, with or without underscores.
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
