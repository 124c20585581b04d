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
use crate::error::Error;

/// The files are looked at this often at most, and only while connections are made.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Answers a server's request for a certificate. Half-written or contradicting files leave the
/// certificate as it was.
pub(super) struct Identity {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    stamps: [Stamp; 2],
    checked: Instant,
}

/// What changes when a file is written or replaced: inode, seconds, nanoseconds, length.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Identity {
    pub(super) fn load(chain: PathBuf, key: PathBuf, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let stamps = [stamp(&chain), stamp(&key)];
        let certified = read(&chain, &key, &provider)?;
        let current = Mutex::new(Current { certified, stamps, checked: Instant::now() });
        Ok(Self { chain, key, provider, current })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.checked.elapsed() >= CHECK_INTERVAL {
            current.checked = Instant::now();
            let stamps = [stamp(&self.chain), stamp(&self.key)];
            if stamps != current.stamps {
                current.stamps = stamps;
                self.reload(&mut current);
            }
        }
        Arc::clone(&current.certified)
    }

    fn reload(&self, current: &mut Current) {
        match read(&self.chain, &self.key, &self.provider) {
            Ok(certified) => {
                tracing::info!(certificate = %self.chain.display(), "client certificate was reloaded");
                current.certified = certified;
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "client certificate changed but cannot be used; the former one stays"
            ),
        }
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
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

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}

/// The chain and the key, which must belong together.
fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let certificates = read_certificates(chain)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| Error::certificate(key, error))?;
    let certified = CertifiedKey::from_der(certificates, private, provider);
    certified.map(Arc::new).map_err(|error| Error::certificate(key, error))
}
