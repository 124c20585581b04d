//! What stops the observer from starting.

use std::io;
use std::path::PathBuf;

/// Why the observer cannot do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is not a readable `/proc`.
    #[error("cannot read {} as a /proc", path.display())]
    ProcRoot {
        /// `procRootPath`.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The event buffer cannot be opened.
    #[error("cannot open the event buffer in {}", path.display())]
    Buffer {
        /// `eventBufferPath`.
        path: PathBuf,
        /// What is wrong with it.
        source: zastava_buffer::Error,
    },
    /// Authority or Scanner cannot be reached with these options.
    #[error("cannot set up the way to scanner")]
    Authority(#[source] zastava_authority::Error),
    /// A part of the observer ended that never should.
    #[error("the observer's {part} ended")]
    PartEnded {
        /// Which.
        part: &'static str,
    },
}
