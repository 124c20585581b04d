//! Why a release cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use zastava_core::image::Digest;
use zastava_oci::WriteError;

/// Why a release cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An image could not be made or written.
    #[error(transparent)]
    Image(#[from] WriteError),
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
    /// A program that is needed could not be started.
    #[error("cannot run {program}")]
    Spawn {
        /// Its name or path.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// A program that was started failed.
    #[error("{program} failed: {message}")]
    Failed {
        /// Its name or path.
        program: String,
        /// Its status, and the end of its standard error if that was read.
        message: String,
    },
    /// A program's output cannot be understood.
    #[error("cannot read what {program} says: {message}")]
    Answer {
        /// Its name or path.
        program: String,
        /// What was looked for.
        message: String,
    },
    /// A program that was started does not become ready.
    #[error("{program} is not ready after {seconds} s")]
    NotReady {
        /// Its name.
        program: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// This machine has no toolchain for any of the platforms asked for.
    #[error("no platform can be built for: {missing}")]
    NoToolchain {
        /// What is missing, for each platform.
        missing: String,
    },
    /// A program that was built is not what may go into an image.
    #[error("{} {fault}", path.display())]
    NotStatic {
        /// The program.
        path: PathBuf,
        /// What it is instead.
        fault: &'static str,
    },
    /// Two builds of the same source differ.
    #[error("{image} is not reproducible: {first} from this folder, {second} from another")]
    NotReproducible {
        /// The image's name.
        image: String,
        /// The digest of the first build.
        first: Digest,
        /// The digest of the second.
        second: Digest,
    },
}

impl Error {
    /// For `map_err` after an operation on `path`.
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }
}
