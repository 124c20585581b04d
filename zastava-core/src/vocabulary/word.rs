//! A word on the wire, which may come from a release that knows more words than this one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A word of the vocabulary `T`, or one that this release does not list.
///
/// Reading never fails, and an unlisted word is written back as it was read.
// docs/design/core.md#why-does-the-wire-hold-a-wordengine-and-not-an-engine
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a word is listed or it is not")]
pub enum Word<T> {
    /// A word of the list.
    Listed(T),
    /// Any other text.
    Unlisted(String),
}

impl<T: Copy> Word<T> {
    /// The word, if this release lists it.
    pub fn listed(&self) -> Option<T> {
        match self {
            Self::Listed(word) => Some(*word),
            Self::Unlisted(_) => None,
        }
    }
}

impl<T> From<T> for Word<T> {
    fn from(word: T) -> Self {
        Self::Listed(word)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Listed(word) if word == other)
    }
}

impl<T: fmt::Display> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(word) => word.fmt(f),
            Self::Unlisted(text) => f.pad(text),
        }
    }
}

impl<T: fmt::Display> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        Ok(text.parse().map_or_else(|_| Self::Unlisted(text.into_owned()), Self::Listed))
    }
}

/// The text is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a listed {vocabulary}")]
#[non_exhaustive]
pub struct UnlistedWord {
    /// What the text should have been, such as `engine`.
    pub vocabulary: &'static str,
}
