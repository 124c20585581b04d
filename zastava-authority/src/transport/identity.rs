//! A client certificate that follows its files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use zastava_core::pem;
use zastava_core::secret::Secret;

use super::read_certificates;
use super::watch::FileWatch;
use crate::encoding::{base64url, pem_encode, sha256};
use crate::error::Error;
use crate::small_file;

/// The newest certificates are kept: tokens of the one before are still in use.
pub(super) const CERTIFICATES_MAX: usize = 2;

/// The certificate that a client presents. Half-written or contradicting files do not change it.
pub(crate) struct Identity {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// The newest first.
    certificates: Vec<Arc<Certified>>,
    watch: FileWatch,
}

/// A certificate chain with its key.
pub(crate) struct Certified {
    key: Arc<CertifiedKey>,
    /// For clients that are not ours.
    private: pem::PrivateKey,
    /// Base64url of the SHA-256 of the certificate (RFC 8705 section 3.1).
    pub(crate) thumbprint: Arc<str>,
}

impl Identity {
    pub(crate) fn load(chain: PathBuf, key: PathBuf) -> Result<Self, Error> {
        let provider = super::provider();
        let mut watch = FileWatch::new([chain.clone(), key.clone()]);
        watch.look();
        let certificates = vec![Arc::new(read(&chain, &key, &provider)?)];
        let loaded = Mutex::new(Loaded { certificates, watch });
        Ok(Self { chain, key, provider, loaded })
    }

    /// The newest certificate.
    pub(crate) fn current(&self) -> Arc<Certified> {
        let mut loaded = self.loaded();
        if loaded.watch.is_due() {
            self.check(&mut loaded);
        }
        Arc::clone(&loaded.certificates[0])
    }

    /// The certificate with this thumbprint, if it is still known.
    pub(crate) fn find(&self, thumbprint: &str) -> Option<Arc<Certified>> {
        self.loaded().certificates.iter().find(|known| *known.thumbprint == *thumbprint).cloned()
    }

    /// Checks the files now.
    pub(crate) fn reload(&self) {
        self.check(&mut self.loaded());
    }

    fn check(&self, loaded: &mut Loaded) {
        if !loaded.watch.look() {
            return;
        }
        let found = read(&self.chain, &self.key, &self.provider);
        loaded.watch.outcome(found.is_ok());
        match found {
            Ok(certified) if certified.key.cert == loaded.certificates[0].key.cert => {}
            Ok(certified) => {
                tracing::info!(certificate = %self.chain.display(), "client certificate was reloaded");
                // The same certificate with other intermediates replaces itself.
                loaded.certificates.retain(|known| known.thumbprint != certified.thumbprint);
                loaded.certificates.insert(0, Arc::new(certified));
                loaded.certificates.truncate(CERTIFICATES_MAX);
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "client certificate changed but cannot be used; the former one stays"
            ),
        }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Certified {
    /// The chain in PEM.
    pub(crate) fn chain_pem(&self) -> String {
        self.key.cert.iter().map(|certificate| pem_encode("CERTIFICATE", certificate)).collect()
    }

    /// The private key in PEM.
    pub(crate) fn key_pem(&self) -> Secret {
        let label = match PrivateKeyDer::try_from(self.private.der()) {
            Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        Secret::new(pem_encode(label, self.private.der()))
    }
}

impl ResolvesClientCert for Certified {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain).field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certified").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// Reads the chain and the key, which must belong together.
fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Certified, Error> {
    let certificates = read_certificates(chain)?;
    let thumbprint = base64url(sha256(&[&certificates[0]])).into();
    let file = small_file::read_bytes(key, small_file::SECRET_BYTES_MAX)?;
    let private = pem::private_key(&file).map_err(|fault| Error::certificate(key, fault))?;
    let der = PrivateKeyDer::try_from(private.der().to_vec())
        .map_err(|_| Error::certificate(key, "its private key is none that TLS knows"))?;
    let certified = CertifiedKey::from_der(certificates, der, provider);
    let key = certified.map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::certificate(key, format!("it does not belong to the certificate in {}", chain.display()))
        }
        // Of the chain, only the first certificate is parsed here.
        rustls::Error::InvalidCertificate(_) => Error::certificate(chain, error),
        error => Error::certificate(key, error),
    })?;
    Ok(Certified { key, private, thumbprint })
}
