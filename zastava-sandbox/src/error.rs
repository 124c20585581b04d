//! Why a sandbox does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use zastava_core::http_service::BoxError;

/// Why a sandbox does not start or come back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory holds something and others may enter it; private keys would be written there.
    #[error("{} has mode {mode:o}: others may enter, and private keys go there; chmod 700 it", path.display())]
    DirectoryOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The directory's path is not UTF-8 and cannot stand in a configuration.
    #[error("{} is not UTF-8 and cannot stand in a configuration", path.display())]
    DirectoryName {
        /// The directory.
        path: PathBuf,
    },
    /// The host can stand in no certificate.
    #[error("{host:?} is neither a host name nor an address")]
    Host {
        /// The host.
        host: String,
    },
    /// A certificate or TLS setting could not be made.
    #[error("cannot make {what}")]
    Tls {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        source: BoxError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sandbox was stopped; a stopped sandbox does not come back.
    #[error("the sandbox is stopped")]
    Stopped,
}

impl Error {
    pub(crate) fn tls(what: &'static str) -> impl FnOnce(BoxError) -> Self {
        move |source| Self::Tls { what, source }
    }

    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
