//! The serving certificate, taken anew whenever its files change.
//!
//! A Secret volume never writes a file in place: it swaps the symlink `..data` to a new directory
//! and removes the old one. A watch on the files would see the first swap and miss the next. So
//! the files' content is read every few seconds through whatever the path means by then. A pair
//! that cannot serve, such as one read in the middle of a swap, is left aside: the old one stays.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zastava_core::clock::Timestamp;
use zastava_core::http_service::BoxError;
use zastava_core::image::Digest;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{CERTIFICATE_EXPIRY, Gauge, Telemetry};

use super::expiry::not_after;
use crate::error::Error;
use crate::options::TlsOptions;

/// Log scope of the serving certificate.
const SCOPE: &str = "admission.certificate";
/// The certificate's name in metrics.
const NAME: &str = "webhook";
/// No chain or key is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Hands every TLS handshake the newest pair that can serve.
#[derive(Debug)]
pub(crate) struct Certificates {
    options: TlsOptions,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files held when they were looked at last, taken or not.
    seen: Mutex<Digest>,
    expiry: Gauge,
}

impl Certificates {
    /// Loads the first pair, which must be able to serve.
    pub(crate) fn load(options: &TlsOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let files = PairFiles::read(options)?;
        let pair = files.pair(&options.certificate_path)?;
        let certificates = Self {
            options: options.clone(),
            seen: Mutex::new(files.digest()),
            expiry: telemetry.gauge(CERTIFICATE_EXPIRY),
            current: RwLock::new(Arc::clone(&pair)),
        };
        certificates.tell_taken(&pair);
        Ok(certificates)
    }

    /// Looks at the files for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.options.poll_interval).await;
            let this = Arc::clone(&self);
            // A volume may be slow; a panic in there would be the log's affair, not the server's.
            let _ = tokio::task::spawn_blocking(move || this.refresh()).await;
        }
    }

    fn refresh(&self) {
        let files = PairFiles::read(&self.options);
        let digest = match &files {
            Ok(files) => files.digest(),
            Err(error) => Digest::of(error.to_string().as_bytes()),
        };
        // Each state of the files is tried, and told, once.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, digest) == digest {
            return;
        }
        match files.and_then(|files| files.pair(&self.options.certificate_path)) {
            Ok(pair) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&pair);
                self.tell_taken(&pair);
            }
            Err(error) => tracing::warn!(
                scope = SCOPE,
                error = &error as &dyn std::error::Error,
                "serving certificate not taken; the old one stays"
            ),
        }
    }

    fn tell_taken(&self, pair: &CertifiedKey) {
        let leaf = pair.cert.first().map_or(&[][..], |leaf| leaf);
        let end = not_after(leaf);
        if let Some(end) = end {
            self.expiry.set(&[NAME], end.unix_seconds() as f64);
        }
        let not_after = end.map_or_else(|| "unknown".to_owned(), |end: Timestamp| end.to_string());
        let fingerprint = Digest::of(leaf).to_string();
        tracing::info!(scope = SCOPE, not_after, fingerprint, "serving certificate taken");
        if let Err(error) = check_against_bundle(pair, &self.options.ca_bundle_path) {
            tracing::warn!(
                scope = SCOPE,
                error = &*error as &dyn std::error::Error,
                path = %self.options.ca_bundle_path.display(),
                "serving certificate does not hold against the CA bundle; API servers may refuse it"
            );
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The two files' text.
struct PairFiles {
    certificate: String,
    key: Secret,
}

impl PairFiles {
    fn read(options: &TlsOptions) -> Result<Self, Error> {
        Ok(Self {
            certificate: read_file(&options.certificate_path)?,
            key: Secret::new(read_file(&options.private_key_path)?),
        })
    }

    fn digest(&self) -> Digest {
        let parts = [self.certificate.as_bytes(), self.key.expose().as_bytes()].map(Digest::of);
        Digest::of(&[*parts[0].as_bytes(), *parts[1].as_bytes()].concat())
    }

    /// The chain with its key, which must belong to the leaf.
    fn pair(&self, path: &Path) -> Result<Arc<CertifiedKey>, Error> {
        let pair = || -> Result<CertifiedKey, BoxError> {
            let chain = certificates(&self.certificate)?;
            // The parser's own error may quote the file.
            let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes());
            let key = key.map_err(|_| "the key file holds no private key in PEM")?;
            Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?)
        };
        let pair = pair().map_err(|source| Error::Certificate { path: path.to_owned(), source })?;
        Ok(Arc::new(pair))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    if chain.is_empty() { Err("the file holds no certificate".into()) } else { Ok(chain) }
}

fn read_file(path: &Path) -> Result<String, Error> {
    // Room for every usual file: a key that outgrew its buffer would leave a copy behind.
    let mut text = String::with_capacity(16 << 10);
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| Error::CertificateFile { path: path.to_owned(), source })?;
    Ok(text)
}

/// Whether the chain holds against the bundle that API servers are told of, if it is mounted here.
fn check_against_bundle(pair: &CertifiedKey, bundle: &Path) -> Result<(), BoxError> {
    if !bundle.exists() {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    for root in certificates(&read_file(bundle)?)? {
        roots.add(root)?;
    }
    let Some((leaf, intermediates)) = pair.cert.split_first() else { return Ok(()) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(leaf)?,
        &roots,
        intermediates,
        UnixTime::since_unix_epoch(now),
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
    )?;
    Ok(())
}
