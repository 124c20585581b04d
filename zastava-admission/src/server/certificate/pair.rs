//! A certificate chain and its key: from PEM to what TLS can serve.

use std::path::PathBuf;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zastava_core::http_service::BoxError;
use zastava_core::secret::Secret;

use crate::error::Error;

/// A chain and a key in PEM, not yet read.
pub(super) struct PemPair {
    /// Names the chain in errors.
    pub(super) path: PathBuf,
    pub(super) chain: String,
    pub(super) key: Secret,
}

impl PemPair {
    /// The chain with its key, which must belong to the leaf.
    pub(super) fn certified_key(&self) -> Result<CertifiedKey, Error> {
        let read = || -> Result<CertifiedKey, BoxError> {
            let chain = certificates(&self.chain)?;
            // The parser's own error may quote the file.
            let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes());
            let key = key.map_err(|_| "the key file holds no private key in PEM")?;
            Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?)
        };
        read().map_err(|source| Error::Certificate { path: self.path.clone(), source })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if chain.is_empty() { Err("the file holds no certificate".into()) } else { Ok(chain) }
}
