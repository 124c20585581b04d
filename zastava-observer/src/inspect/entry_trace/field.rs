//! Words of a command as far as they are known.

/// A word after its expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Known(String),
    /// One word that depends on what is not known.
    One,
    /// Any number of words that depend on what is not known.
    Many,
}

impl Field {
    pub(super) fn known(&self) -> Option<&str> {
        match self {
            Self::Known(text) => Some(text),
            Self::One | Self::Many => None,
        }
    }
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Known(String),
    Unset,
    Unknown,
}

impl Value {
    pub(super) fn known(text: impl Into<String>) -> Self {
        Self::Known(text.into())
    }

    /// The text of a value, which is empty for a variable that is not set.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Known(text) => Some(text),
            Self::Unset => Some(""),
            Self::Unknown => None,
        }
    }
}
