//! Why a layout cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use zastava_core::image::Digest;

use super::place::{Place, escaped, shortened};
use crate::Platform;

/// Why a layout cannot be read, and where. Foreign text in messages is escaped and cut off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was attempted: a verb such as `open`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The path holds no image layout.
    #[error("{} is not an image layout: {fault}", path.display())]
    NotALayout {
        /// The file or directory.
        path: PathBuf,
        /// What is missing.
        fault: &'static str,
    },
    /// The layout has another version than 1.
    #[error("oci-layout: version {version:?} is not 1")]
    Version {
        /// The version that it states.
        version: String,
    },
    /// A document is not JSON, or a member is missing or has the wrong type.
    #[error("{place}: {message}")]
    Json {
        /// The document and the member.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A manifest is also an index, or the reverse, or it contradicts the descriptor that names it.
    #[error("{place}: {fault}")]
    Confused {
        /// The document and the member.
        place: Place,
        /// The contradiction.
        fault: &'static str,
    },
    /// Something has a media type that is not read there.
    #[error("{place}: {media_type:?} is not {expected}")]
    MediaType {
        /// The blob.
        place: Place,
        /// Its media type.
        media_type: String,
        /// What can be read there.
        expected: &'static str,
    },
    /// A tar archive is damaged, or it has an entry of a kind that is not read.
    #[error("{place}: {fault}")]
    Tar {
        /// The archive or layer and the entry's position.
        place: Place,
        /// What is wrong.
        fault: &'static str,
    },
    /// An entry of a tar archive leads out of the root, or its name cannot be a path.
    #[error("{place}: path {path:?} {fault}")]
    Path {
        /// The archive or layer and the entry's position.
        place: Place,
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Two entries have one name.
    #[error("{place}: {name:?} is there twice")]
    Duplicate {
        /// The archive or document.
        place: Place,
        /// The name.
        name: String,
    },
    /// A layer's compressed data is damaged.
    #[error("{layer}: damaged compression: {message}")]
    Compression {
        /// The layer's blob.
        layer: Digest,
        /// What the decompressor says.
        message: String,
    },
    /// A blob is not in the layout.
    #[error("{digest} is missing")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// A blob is shorter or longer than its descriptor says.
    #[error("{digest} has {actual} bytes and should have {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// The size of the file.
        actual: u64,
    },
    /// A blob's content does not have the digest that names it.
    #[error("{expected} holds other content: its digest is {actual}")]
    Digest {
        /// The name of the blob.
        expected: Digest,
        /// The digest of its content.
        actual: Digest,
    },
    /// A layer's uncompressed content does not have the digest that the configuration lists.
    #[error("{layer} has diff_id {actual} and should have {expected}")]
    DiffId {
        /// The layer's blob.
        layer: Digest,
        /// What the configuration says.
        expected: Digest,
        /// The digest of the uncompressed content.
        actual: Digest,
    },
    /// A configuration lists more or fewer layers than the manifest.
    #[error("{config} lists {actual} diff_ids for {expected} layers")]
    LayerCount {
        /// The configuration.
        config: Digest,
        /// Layers in the manifest.
        expected: usize,
        /// diff_ids in the configuration.
        actual: usize,
    },
    /// A limit of [`Limits`](super::Limits) was exceeded.
    #[error("{place}: exceeds the limit {limit} of {max}")]
    Limit {
        /// What is too large.
        place: Place,
        /// The field of [`Limits`](super::Limits).
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// `index.json` does not list the name, or no single image if none was asked for.
    #[error("{name:?} is not in index.json, which lists {listed:?}")]
    Name {
        /// The name asked for, or nothing.
        name: String,
        /// The names that are listed.
        listed: Vec<String>,
    },
    /// The image is not for the platform.
    #[error("{image} is not for {platform}, but for {}", listed(available))]
    Platform {
        /// The image.
        image: Digest,
        /// The platform asked for.
        platform: Box<Platform>,
        /// The platforms that it is for.
        available: Vec<Platform>,
    },
    /// A referrers list names a manifest that has another subject, or none.
    #[error("{referrer} is listed as a referrer of {subject}, but does not refer to it")]
    Subject {
        /// The manifest that is listed.
        referrer: Digest,
        /// The image whose referrers are listed.
        subject: Digest,
    },
}

impl ReadError {
    /// For `map_err` after an operation on `path`.
    pub(super) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }

    pub(super) fn media_type(place: Place, media_type: &str, expected: &'static str) -> Self {
        Self::MediaType { place, media_type: shortened(media_type), expected }
    }

    pub(super) fn limit(place: Place, limit: &'static str, max: u64) -> Self {
        Self::Limit { place, limit, max }
    }
}

/// For readers that hand an error through [`io::Read`]: `io::Error::downcast` gets it back.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

fn listed(platforms: &[Platform]) -> String {
    let names: Vec<_> = platforms.iter().map(|platform| escaped(&platform.to_string())).collect();
    if names.is_empty() { "no platform".to_owned() } else { names.join(", ") }
}
