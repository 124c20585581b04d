//! Names made from a build-id: paths below a debug root, requests to debuginfod, a short form for logs.
//!
//! They are made from the bytes of the id, so they cannot contain a separator or `..` from elsewhere.

use core::fmt;

use crate::ascii::AsciiText;
use crate::build_id::BuildId;

impl BuildId {
    /// The first six bytes, to tell files apart in a log. Not a key.
    #[must_use]
    pub fn short(&self) -> ShortId {
        let bytes = self.as_bytes();
        let mut text = AsciiText::new();
        text.push_hex(bytes.get(..ShortId::BYTES).unwrap_or(bytes));
        ShortId { text }
    }

    /// The path of the debug file with this id below a debug root such as `/usr/lib/debug`:
    /// `.build-id/<first byte>/<rest>.debug`. `None` for an id of one byte, which has no rest.
    #[must_use]
    pub fn debug_path(&self) -> Option<DebugPath> {
        DebugPath::new(self, b".debug")
    }

    /// The path of the link to the executable or library itself: [`debug_path`](Self::debug_path) without its
    /// ending.
    #[must_use]
    pub fn executable_path(&self) -> Option<DebugPath> {
        DebugPath::new(self, b"")
    }

    /// The path of a request to debuginfod: `/buildid/<id>/debuginfo` or `/buildid/<id>/executable`
    /// (debuginfod(8), "WEBAPI"). `None` for an id of 64 bytes, which the clients refuse.
    #[must_use]
    pub fn debuginfod_path(&self, artifact: Artifact) -> Option<DebuginfodPath> {
        if self.as_bytes().len() >= Self::BYTES_MAX {
            return None;
        }
        let mut text = AsciiText::new();
        text.push(b"/buildid/");
        text.push_hex(self.as_bytes());
        text.push(match artifact {
            Artifact::DebugInfo => b"/debuginfo".as_slice(),
            Artifact::Executable => b"/executable",
        });
        Some(DebuginfodPath { text })
    }
}

/// A path below a debug root, made by [`BuildId::debug_path`] or [`BuildId::executable_path`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct DebugPath {
    text: AsciiText<{ ".build-id/aa/".len() + 2 * (BuildId::BYTES_MAX - 1) + ".debug".len() }>,
}

impl DebugPath {
    fn new(id: &BuildId, ending: &[u8]) -> Option<Self> {
        let (first, rest) = id.as_bytes().split_first().filter(|(_, rest)| !rest.is_empty())?;
        let mut text = AsciiText::new();
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

/// What is requested from debuginfod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Artifact {
    /// The debug file.
    DebugInfo,
    /// The executable or library itself.
    Executable,
}

/// The path of a request to debuginfod, made by [`BuildId::debuginfod_path`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct DebuginfodPath {
    text: AsciiText<{ "/buildid//executable".len() + 2 * BuildId::BYTES_MAX }>,
}

impl DebuginfodPath {
    /// The path as text, with a leading slash: append it to the server's URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

/// The beginning of an id, made by [`BuildId::short`]. Plain ASCII.
#[derive(Clone, Copy)]
pub struct ShortId {
    text: AsciiText<{ 2 * Self::BYTES }>,
}

impl ShortId {
    const BYTES: usize = 6;

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
