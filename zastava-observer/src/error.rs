//! Errors that end the observer or keep it from starting.

use std::io;
use std::path::PathBuf;

/// Why the observer does not start, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is not a readable `/proc`.
    #[error("cannot read {} as a /proc", path.display())]
    ProcRoot {
        /// `procRootPath`.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The event buffer cannot be opened.
    #[error("cannot open the event buffer in {}", path.display())]
    Buffer {
        /// `eventBufferPath`.
        path: PathBuf,
        /// The error of the buffer.
        source: zastava_buffer::Error,
    },
    /// The options of Authority or Scanner cannot be used, such as a certificate that cannot be read.
    #[error("cannot set up the connection to scanner")]
    Authority(#[source] zastava_authority::Error),
    /// A part of the observer ended before the shutdown.
    #[error("the observer's {part} ended")]
    PartEnded {
        /// Its name.
        part: &'static str,
    },
}
