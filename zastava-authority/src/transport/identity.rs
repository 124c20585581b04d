//! A client certificate that follows its files.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;

use super::read_certificates;
use crate::encoding::{base64url, sha256};
use crate::error::Error;

/// The files are looked at this often at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The newest certificates that are kept: tokens of the one before are still in use.
pub(super) const CERTIFICATES_MAX: usize = 2;

/// What a client shows to servers. Half-written or contradicting files leave it as it was.
pub(crate) struct Identity {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
}

struct State {
    /// The newest first.
    certificates: Vec<Arc<Certified>>,
    stamps: [Stamp; 2],
    checked: Instant,
}

/// A certificate chain with its key.
pub(crate) struct Certified {
    key: Arc<CertifiedKey>,
    /// Base64url of the SHA-256 of the certificate (RFC 8705 section 3.1).
    pub(crate) thumbprint: Arc<str>,
}

/// What changes when a file is written, replaced or made readable: inode, length, and the seconds and
/// nanoseconds of the last change of its content and of its inode. Links are followed, so Kubernetes'
/// swap of `..data` is seen.
pub(crate) type Stamp = Option<(u64, u64, [i64; 4])>;

impl Identity {
    pub(crate) fn load(chain: PathBuf, key: PathBuf) -> Result<Self, Error> {
        let provider = super::provider();
        let stamps = [stamp(&chain), stamp(&key)];
        let certificates = vec![Arc::new(read(&chain, &key, &provider)?)];
        let state = Mutex::new(State { certificates, stamps, checked: Instant::now() });
        Ok(Self { chain, key, provider, state })
    }

    /// The newest.
    pub(crate) fn current(&self) -> Arc<Certified> {
        let mut state = self.state();
        if state.checked.elapsed() >= CHECK_INTERVAL {
            self.check(&mut state);
        }
        Arc::clone(&state.certificates[0])
    }

    /// The one with this thumbprint, if it is still known.
    pub(crate) fn find(&self, thumbprint: &str) -> Option<Arc<Certified>> {
        self.state().certificates.iter().find(|known| *known.thumbprint == *thumbprint).cloned()
    }

    /// Looks at the files now.
    pub(crate) fn reload(&self) {
        self.check(&mut self.state());
    }

    fn check(&self, state: &mut State) {
        state.checked = Instant::now();
        // Taken before reading: what changes meanwhile is seen the next time.
        let stamps = [stamp(&self.chain), stamp(&self.key)];
        if stamps == state.stamps {
            return;
        }
        state.stamps = stamps;
        match read(&self.chain, &self.key, &self.provider) {
            Ok(certified) if certified.thumbprint == state.certificates[0].thumbprint => {}
            Ok(certified) => {
                tracing::info!(certificate = %self.chain.display(), "client certificate was reloaded");
                state.certificates.insert(0, Arc::new(certified));
                state.certificates.truncate(CERTIFICATES_MAX);
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "client certificate changed but cannot be used; the former one stays"
            ),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

pub(crate) fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some((metadata.ino(), metadata.len(), times))
}

/// The chain and the key, which must belong together.
fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Certified, Error> {
    let certificates = read_certificates(chain)?;
    let thumbprint = base64url(sha256(&[&certificates[0]])).into();
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| Error::certificate(key, error))?;
    let key = CertifiedKey::from_der(certificates, private, provider)
        .map(Arc::new)
        .map_err(|error| Error::certificate(key, error))?;
    Ok(Certified { key, thumbprint })
}
