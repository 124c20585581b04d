//! A certificate chain and its key: from PEM to what TLS can serve.

use std::path::PathBuf;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zastava_core::http_service::BoxError;
use zastava_core::pem::{self, PemFault};
use zeroize::Zeroizing;

use crate::error::Error;

/// A file in PEM, not yet read. Errors name its path.
pub(super) struct PemFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// A chain and its key.
pub(super) struct PemPair {
    pub(super) chain: PemFile,
    pub(super) key: PemFile,
}

impl PemPair {
    /// The chain with its key, which must belong to the leaf.
    pub(super) fn certified_key(&self) -> Result<CertifiedKey, Error> {
        let chain = certificates(&self.chain.bytes).map_err(|fault| self.chain.unusable(fault))?;
        let key = pem::private_key(&self.key.bytes).map_err(|fault| self.key.unusable(fault))?;
        let key = PrivateKeyDer::try_from(key.der().to_vec())
            .map_err(|_| self.key.unusable("its private key is none that TLS knows"))?;
        let pair = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider());
        pair.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let chain = self.chain.path.display();
                self.key.unusable(format!("it does not belong to the certificate in {chain}"))
            }
            // Of the chain, only the leaf is parsed here.
            rustls::Error::InvalidCertificate(_) => self.chain.unusable(error),
            error => self.key.unusable(error),
        })
    }
}

impl PemFile {
    /// A bundle, whose certificates are public. What is no UTF-8 is no PEM and does not matter.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn unusable(&self, source: impl Into<BoxError>) -> Error {
        Error::Certificate { path: self.path.clone(), source: source.into() }
    }
}

fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    Ok(pem::certificates(file)?.into_iter().map(CertificateDer::from).collect())
}
