//! Where in a layout something is wrong.

use std::fmt;
use std::path::PathBuf;

use zastava_core::image::Digest;

/// Foreign text in errors is cut off behind this many characters.
const TEXT_CHARS_MAX: usize = 160;

/// A file of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// `oci-layout`.
    Marker,
    /// `index.json`.
    Index,
    /// A blob: an index, a manifest, a configuration, a layer.
    Blob(Digest),
    /// The archive that holds the layout.
    Archive(PathBuf),
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marker => f.write_str("oci-layout"),
            Self::Index => f.write_str("index.json"),
            Self::Blob(digest) => digest.fmt(f),
            Self::Archive(path) => path.display().fmt(f),
        }
    }
}

/// A place in a file of a layout. Written `index.json: manifests[2].digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The file.
    pub document: Document,
    /// The JSON member, such as `layers[0].size`, or the tar entry, such as `byte 1024`. Empty for the whole file.
    pub at: String,
}

impl Place {
    pub(super) fn new(document: impl Into<Document>, at: impl Into<String>) -> Self {
        Self { document: document.into(), at: escaped(&at.into()) }
    }

    pub(super) fn byte(document: Document, offset: u64) -> Self {
        Self { document, at: format!("byte {offset}") }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)?;
        if self.at.is_empty() { Ok(()) } else { write!(f, ": {}", self.at) }
    }
}

impl From<Digest> for Document {
    fn from(digest: Digest) -> Self {
        Self::Blob(digest)
    }
}

/// Foreign text that is shown as it is: control characters are escaped, so that no log line can be forged.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in shortened(text).chars() {
        match character.is_control() {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
    }
    escaped
}

/// Foreign text that `Debug` escapes when it is shown.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
