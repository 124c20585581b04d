//! Why a cluster, its tools or its images are not available.

use std::path::PathBuf;
use std::time::Duration;

/// Why a cluster, its tools or its images are not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be used.
    #[error("cannot use {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program ended with another status than 0.
    #[error("`{command}` ended with {status}: {output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// A condition was not met in time.
    #[error("{what} did not come within {waited:?}: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last answer.
        last: String,
    },
    /// This machine lacks something that is required.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {name}")]
    Certificate {
        /// Whose it is.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// An image could not be made.
    #[error("cannot make an image")]
    Image(#[source] zastava_oci::WriteError),
    /// A file is no image archive.
    #[error("cannot read the image archive {path}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<zastava_oci::ReadError>,
    },
    /// A cluster runs there already.
    #[error("a cluster runs in {directory} already; `down` ends it")]
    Running {
        /// Where.
        directory: PathBuf,
    },
    /// The directory's name cannot stand in a command line.
    #[error("{path:?} has a space in its name, which the cluster's programs are not asked to bear")]
    Blank {
        /// The cluster's directory.
        path: PathBuf,
    },
    /// The directory lies where a node has mounts of its own.
    #[error("{path} lies below {mask}, which every node replaces by its own; choose another directory")]
    Masked {
        /// The cluster's directory.
        path: PathBuf,
        /// What covers it.
        mask: &'static str,
    },
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
