//! Why a review could not be read, or the webhook not be started. A denial is not an error.

use std::net::SocketAddr;
use std::path::PathBuf;

use zastava_core::http_service::BoxError;

/// A body that cannot be answered, or a webhook that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not JSON, or does not have the shape of an AdmissionReview.
    #[error("the body is not an AdmissionReview")]
    MalformedReview(#[source] BoxError),
    /// The body is of another kind, or of a version other than v1.
    #[error("expected an AdmissionReview of admission.k8s.io/v1, found {found}")]
    UnknownReview {
        /// Kind and version as sent, shortened and escaped.
        found: String,
    },
    /// The review holds no request, or its uid is missing or longer than 128 characters. An answer
    /// would have nothing to name.
    #[error("the review holds no request with a uid")]
    MissingUid,
    /// The webhook cannot listen on its address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// A certificate or key file cannot be read, or the file of client authorities.
    #[error("cannot read {}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file holds no certificate chain, or not its key.
    #[error("cannot serve with {}", path.display())]
    Certificate {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong.
        source: BoxError,
    },
    /// API servers would refuse the certificate.
    #[error("API servers refuse {}", path.display())]
    CertificateRefused {
        /// The certificate's file.
        path: PathBuf,
        /// Every reason.
        source: BoxError,
    },
    /// The file of client authorities holds none.
    #[error("{} holds no authorities of client certificates", path.display())]
    ClientAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BoxError,
    },
    /// Registries cannot be asked as configured.
    #[error("cannot set up the registries")]
    Registries(#[source] BoxError),
    /// Authority or Scanner cannot be set up as configured.
    #[error("cannot set up the connection to scanner")]
    Connect(#[from] zastava_authority::Error),
}
