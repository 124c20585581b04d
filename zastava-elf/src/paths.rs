//! Names made from an id: paths below a debug root, requests to debuginfod, a short form for logs.
//!
//! Nothing here takes text, so nothing here can hold a separator or `..` that was not meant.

use core::fmt;

use crate::build_id::BuildId;
use crate::text::Text;

/// A path below a debug root, made by [`BuildId::debug_path`] or [`BuildId::executable_path`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct DebugPath {
    text: Text<{ ".build-id/aa/".len() + 2 * (BuildId::BYTES_MAX - 1) + ".debug".len() }>,
}

impl DebugPath {
    pub(crate) fn of(id: &BuildId, ending: &[u8]) -> Option<Self> {
        let (first, rest) = id.as_bytes().split_first().filter(|(_, rest)| !rest.is_empty())?;
        let mut text = Text::new();
        text.push(b".build-id/");
        text.push_hex(&[*first]);
        text.push(b"/");
        text.push_hex(rest);
        text.push(ending);
        Some(Self { text })
    }

    /// The path as text, without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

/// What debuginfod is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Artifact {
    /// The debug file.
    DebugInfo,
    /// The executable or library itself.
    Executable,
}

/// The path of a debuginfod request, made by [`BuildId::debuginfod_path`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct DebuginfodPath {
    text: Text<{ "/buildid//executable".len() + 2 * BuildId::BYTES_MAX }>,
}

impl DebuginfodPath {
    pub(crate) fn of(id: &BuildId, artifact: Artifact) -> Option<Self> {
        if id.as_bytes().len() >= BuildId::BYTES_MAX {
            return None;
        }
        let mut text = Text::new();
        text.push(b"/buildid/");
        text.push_hex(id.as_bytes());
        text.push(match artifact {
            Artifact::DebugInfo => b"/debuginfo".as_slice(),
            Artifact::Executable => b"/executable",
        });
        Some(Self { text })
    }

    /// The path as text, with a leading slash: append it to the server's URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

/// The beginning of an id, made by [`BuildId::short`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct ShortId {
    text: Text<{ 2 * Self::BYTES }>,
}

impl ShortId {
    const BYTES: usize = 6;

    pub(crate) fn of(id: &BuildId) -> Self {
        let bytes = id.as_bytes();
        let mut text = Text::new();
        text.push_hex(bytes.get(..Self::BYTES).unwrap_or(bytes));
        Self { text }
    }

    /// At most twelve hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

macro_rules! text_traits {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.text.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

text_traits!(DebugPath DebuginfodPath ShortId);
