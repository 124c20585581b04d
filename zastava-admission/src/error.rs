//! What can go wrong before there is a verdict. A denial is no error.

use std::net::SocketAddr;
use std::path::PathBuf;

use zastava_core::http_service::BoxError;

/// Why a review could not be read, or the webhook not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not JSON, or not shaped like an AdmissionReview.
    #[error("the body is not an AdmissionReview")]
    MalformedReview(#[source] BoxError),
    /// Another kind, or a version that is not v1.
    #[error("expected an AdmissionReview of admission.k8s.io/v1, found {found}")]
    UnknownReview {
        /// Kind and version as sent, shortened and escaped.
        found: String,
    },
    /// The review holds no request, or its uid is missing or longer than 128 characters: there is
    /// nothing that an answer could name.
    #[error("the review holds no request with a uid")]
    MissingUid,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The files can be read and do not hold a certificate chain and its key.
    #[error("{} and its key cannot serve", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: BoxError,
    },
    /// Authority or Scanner cannot be set up as configured.
    #[error("the way to scanner cannot be set up")]
    Connect(#[from] zastava_authority::Error),
}
