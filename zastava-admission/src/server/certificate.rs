//! The serving certificate: the newest pair that can serve, for every TLS handshake.
//!
//! The source is read every few seconds. A pair that cannot serve, such as one that was read in the
//! middle of a swap, is left aside and the old one stays.

mod expiry;
mod files;
mod pair;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zastava_core::clock::Timestamp;
use zastava_core::http_service::BoxError;
use zastava_core::image::Digest;
use zastava_core::telemetry::{CERTIFICATE_EXPIRY, Gauge, Telemetry};

use crate::error::Error;
use crate::options::TlsOptions;
use expiry::not_after;
use files::PairFiles;

/// Log scope of the serving certificate.
const SCOPE: &str = "admission.certificate";
/// The certificate's name in metrics.
const NAME: &str = "webhook";

/// Hands every TLS handshake the newest pair that can serve.
#[derive(Debug)]
pub(crate) struct Certificates {
    source: PairFiles,
    current: RwLock<Arc<CertifiedKey>>,
    /// The last state of the source, whether its pair was taken or not.
    seen: Mutex<Digest>,
    expiry: Gauge,
}

impl Certificates {
    /// Loads the first pair, which must be able to serve.
    pub(crate) fn load(options: &TlsOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let source = PairFiles::new(options.clone());
        let pem = source.read()?;
        let pair = Arc::new(pem.certified_key()?);
        let certificates = Self {
            source,
            seen: Mutex::new(pem.digest()),
            expiry: telemetry.gauge(CERTIFICATE_EXPIRY),
            current: RwLock::new(Arc::clone(&pair)),
        };
        certificates.report(&pair);
        Ok(certificates)
    }

    /// Follows the source for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.source.poll_interval()).await;
            let this = Arc::clone(&self);
            // A volume may be slow. A panic in there is logged and does not stop the server.
            let _ = tokio::task::spawn_blocking(move || this.refresh()).await;
        }
    }

    /// Takes a new pair. Each state of the source is tried and logged once.
    fn refresh(&self) {
        let pem = self.source.read();
        let state = match &pem {
            Ok(pem) => pem.digest(),
            Err(error) => Digest::of(error.to_string().as_bytes()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, state) == state {
            return;
        }
        match pem.and_then(|pem| pem.certified_key()) {
            Ok(pair) => {
                let pair = Arc::new(pair);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&pair);
                self.report(&pair);
            }
            Err(error) => tracing::warn!(
                scope = SCOPE,
                error = &error as &dyn std::error::Error,
                "serving certificate not taken; the old one stays"
            ),
        }
    }

    /// Shows the pair that is served from now on, in metrics and log.
    fn report(&self, pair: &CertifiedKey) {
        let leaf = pair.cert.first().map_or(&[][..], |leaf| leaf);
        let end = not_after(leaf);
        if let Some(end) = end {
            self.expiry.set(&[NAME], end.unix_seconds() as f64);
        }
        let not_after = end.map_or_else(|| "unknown".to_owned(), |end: Timestamp| end.to_string());
        let fingerprint = Digest::of(leaf).to_string();
        tracing::info!(scope = SCOPE, not_after, fingerprint, "serving certificate taken");
        if let Err(error) = self.check_against_bundle(pair) {
            tracing::warn!(
                scope = SCOPE,
                error = &*error as &dyn std::error::Error,
                path = %self.source.ca_bundle_path().display(),
                "serving certificate does not hold against the CA bundle; API servers may refuse it"
            );
        }
    }

    fn check_against_bundle(&self, pair: &CertifiedKey) -> Result<(), BoxError> {
        match self.source.ca_bundle() {
            Some(bundle) => pair::verify(pair, &bundle?),
            None => Ok(()),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
