//! A certificate chain and its key: from PEM to what TLS can serve.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
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
    /// The authorities that client certificates are checked against, if they are.
    pub(super) client_ca: Option<PemFile>,
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

/// A pair as it is served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) pair: CertifiedKey,
    client_authorities: Vec<CertificateDer<'static>>,
    pub(super) config: Arc<ServerConfig>,
}

impl Served {
    /// Whether both show the same chain and ask for the same client certificates.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.pair.cert == other.pair.cert && self.client_authorities == other.client_authorities
    }
}

impl PemPair {
    /// The pair with its TLS settings: TLS 1.2 and 1.3. Clients must show a certificate of the client
    /// authorities, if there are any.
    pub(super) fn served(self) -> Result<Served, Error> {
        let pair = self.certified_key()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider serves TLS 1.2 and 1.3");
        let (client_authorities, builder) = match &self.client_ca {
            None => (Vec::new(), builder.with_no_client_auth()),
            Some(file) => {
                let failed = |source| Error::ClientAuthorities { path: file.path.clone(), source };
                let authorities = certificates(&file.bytes).map_err(|fault| failed(fault.into()))?;
                let verifier = || -> Result<_, BoxError> {
                    let mut roots = RootCertStore::empty();
                    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
                    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
                };
                let verifier = verifier().map_err(failed)?;
                (authorities, builder.with_client_cert_verifier(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.clone())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Served { pair, client_authorities, config: Arc::new(config) })
    }
}

impl PemFile {
    fn unusable(&self, source: impl Into<BoxError>) -> Error {
        Error::Certificate { path: self.path.clone(), source: source.into() }
    }
}

fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    Ok(pem::certificates(file)?.into_iter().map(CertificateDer::from).collect())
}
