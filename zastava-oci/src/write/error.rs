//! Why an image or an artifact cannot be made or written.

use std::io;
use std::path::PathBuf;

use zastava_core::image::ImageError;

/// Why an image or an artifact cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The image's name is malformed.
    #[error("{reference:?} is not an image reference")]
    Reference {
        /// The name as given.
        reference: String,
        /// What is wrong with it.
        source: ImageError,
    },
    /// The image's name has no tag, or it has a digest: the digest follows from the content.
    #[error("{reference:?} is not registry/repository:tag")]
    NotTagged {
        /// The name as given.
        reference: String,
    },
    /// A path inside an image must be absolute, without `.` and `..`, and fit a ustar header.
    #[error("{path:?} cannot be a path in an image")]
    Path {
        /// The path as given.
        path: String,
    },
    /// Two entries of one layer have the same path, or a file has others below it.
    #[error("{path:?} is twice in one layer")]
    Conflict {
        /// The path as given.
        path: String,
    },
    /// The images of one layout must have the same name and different platforms.
    #[error("{reference:?} is not one image for different platforms")]
    Platforms {
        /// The name of the first image, or nothing if there is none.
        reference: String,
    },
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was attempted: a verb such as `write`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
