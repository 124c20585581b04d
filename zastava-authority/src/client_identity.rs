//! The client certificate, for HTTP clients other than the one of this crate.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use zastava_core::secret::Secret;

use crate::transport::Certificate;
use crate::transport::identity::Certified;

/// The client certificate and its key as they are now. [`Authority::client_identity`] returns it.
///
/// A token that is bound to a certificate must be sent over a connection with that certificate (RFC 8705
/// section 3). So a client of one's own has a connection pool for each thumbprint, and asks
/// [`certificate_of`] which one a request needs.
///
/// [`Authority::client_identity`]: crate::Authority::client_identity
#[derive(Clone)]
pub struct ClientIdentity(Arc<Certified>);

impl ClientIdentity {
    pub(crate) fn new(certified: Arc<Certified>) -> Self {
        Self(certified)
    }

    /// Base64url of the SHA-256 of the certificate: the `x5t#S256` of a token that is bound to it.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// The chain in PEM, the client's certificate first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.0.chain_pem()
    }

    /// The private key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> Secret {
        self.0.key_pem()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

/// The thumbprint of the certificate that a request must be sent with. The extensions are those of the
/// request after a token was attached. `None`: any certificate will do.
#[must_use]
pub fn certificate_of(extensions: &Extensions) -> Option<&str> {
    extensions.get().map(|Certificate(thumbprint)| &**thumbprint)
}
