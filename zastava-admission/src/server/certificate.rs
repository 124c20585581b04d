//! The serving certificate: the newest pair that can serve, for every TLS handshake, with the authorities
//! of client certificates, if the webhook asks for those.
//!
//! The source is read every few seconds. A pair that cannot serve, such as one that was read in the
//! middle of a swap, is left aside and the old one stays; so is one with client authorities that cannot be
//! read. So is a pair that API servers would refuse,
//! as long as they accept the old one. When they refuse the pair that is served, the webhook is not
//! ready: a roll-out then stops, and the reason stands where operators look.

mod acceptance;
mod files;
mod pair;
mod x509;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use zastava_core::clock::Timestamp;
use zastava_core::image::Digest;
use zastava_core::program::Check;
use zastava_core::telemetry::{CERTIFICATE_ACCEPTED, CERTIFICATE_EXPIRY, Gauge, Telemetry};

use crate::error::Error;
use crate::options::TlsOptions;
use files::PairFiles;
use pair::{PemPair, Served};
use x509::Fields;

/// Log scope of the serving certificate.
const SCOPE: &str = "admission.certificate";
/// The certificate's name in metrics.
const NAME: &str = "webhook";

/// Checks the pair that the options name as API servers check it: against the server names and the CA
/// bundle, which must be there. Returns when the certificate ends.
///
/// # Errors
/// [`Error::CertificateRefused`] with every reason, or an error that says which file cannot be used.
pub fn check_certificate(options: &TlsOptions) -> Result<Timestamp, Error> {
    let source = PairFiles::new(options.clone());
    let pair = source.read()?.certified_key()?;
    source.expectation()?.check(&pair.cert, Timestamp::now()).map_err(|refusals| {
        Error::CertificateRefused { path: options.certificate_path.clone(), source: refusals.into() }
    })?;
    Ok(not_after(&pair).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Hands every TLS handshake the newest pair that can serve.
#[derive(Debug)]
pub(crate) struct Certificates {
    source: PairFiles,
    current: RwLock<Arc<Served>>,
    reported: Mutex<Reported>,
    expiry: Gauge,
    accepted: Gauge,
    ready: Check,
}

/// What was logged last, so that each state is logged once.
#[derive(Debug, Default)]
struct Reported {
    /// Why the pair of the source was not taken.
    left_aside: Option<String>,
    /// Why API servers refuse the pair that is served.
    refused: Option<String>,
    /// Why the CA bundle cannot be read.
    unchecked: Option<String>,
}

impl Certificates {
    /// Loads the first pair, which must be able to serve. `ready` holds while API servers accept it.
    pub(crate) fn load(options: &TlsOptions, telemetry: &Telemetry, ready: Check) -> Result<Self, Error> {
        let source = PairFiles::new(options.clone());
        let served = Arc::new(source.read()?.served()?);
        let certificates = Self {
            source,
            current: RwLock::new(Arc::clone(&served)),
            reported: Mutex::default(),
            expiry: telemetry.gauge(CERTIFICATE_EXPIRY),
            accepted: telemetry.gauge(CERTIFICATE_ACCEPTED),
            ready,
        };
        if options.server_names.is_empty() {
            tracing::warn!(
                scope = SCOPE,
                "whether the serving certificate has the name by which API servers call is not checked; \
                 tls.serverNames is empty"
            );
        }
        certificates.show(&served.pair);
        certificates.refresh(Timestamp::now());
        Ok(certificates)
    }

    /// What handshakes use from now on.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().config)
    }

    /// Follows the source for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.source.poll_interval()).await;
            let this = Arc::clone(&self);
            // A volume may be slow. A panic in there is logged and does not stop the server.
            let _ = tokio::task::spawn_blocking(move || this.refresh(Timestamp::now())).await;
        }
    }

    /// Takes a new pair, and says whether API servers accept the one that is served.
    fn refresh(&self, now: Timestamp) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let (expectation, unchecked) = match self.source.expectation() {
            Ok(expectation) => (expectation, None),
            // In the middle of a swap, for instance. A bundle that nobody can read refutes nothing.
            Err(error) => (self.source.names_alone(), Some(with_causes(&error))),
        };
        if unchecked != reported.unchecked {
            match &unchecked {
                Some(error) => {
                    tracing::warn!(
                        scope = SCOPE,
                        error,
                        "whether API servers know the signer is not checked"
                    );
                }
                None => tracing::info!(scope = SCOPE, "whether API servers know the signer is checked"),
            }
            reported.unchecked = unchecked;
        }
        let served = self.current();
        let refused = expectation.check(&served.pair.cert, now).err();
        let left_aside = match self.source.read().and_then(PemPair::served) {
            Ok(new) if new.is_like(&served) => None,
            Ok(new) => match expectation.check(&new.pair.cert, now) {
                // The old pair is good, and API servers may not know the new one's CA yet.
                Err(refusals) if refused.is_none() => Some(refusals.to_string()),
                _ => {
                    self.take(new);
                    None
                }
            },
            Err(error) => Some(with_causes(&error)),
        };
        if left_aside.is_some() && left_aside != reported.left_aside {
            let error = left_aside.as_deref().unwrap_or_default();
            tracing::warn!(scope = SCOPE, error, "serving certificate not taken; the old one stays");
        }
        reported.left_aside = left_aside;
        let refused = expectation.check(&self.current().pair.cert, now).err();
        self.report(&mut reported, refused.map(|refusals| refusals.to_string()));
    }

    fn current(&self) -> Arc<Served> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, new: Served) {
        let new = Arc::new(new);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        self.show(&new.pair);
    }

    /// Shows the pair that is served from now on, in metrics and log.
    fn show(&self, pair: &CertifiedKey) {
        let end = not_after(pair);
        if let Some(end) = end {
            self.expiry.set(&[NAME], end.unix_seconds() as f64);
        }
        let not_after = end.map_or_else(|| "unknown".to_owned(), |end| end.to_string());
        let fingerprint = Digest::of(pair.cert.first().map_or(&[][..], |leaf| leaf)).to_string();
        tracing::info!(scope = SCOPE, not_after, fingerprint, "serving certificate taken");
    }

    /// Shows in readiness, metrics and log whether API servers accept the pair that is served.
    fn report(&self, reported: &mut Reported, refused: Option<String>) {
        self.accepted.set(&[NAME], if refused.is_none() { 1.0 } else { 0.0 });
        match &refused {
            None => self.ready.holds(),
            Some(why) => self.ready.fails(format!("API servers refuse the serving certificate: {why}")),
        }
        match &refused {
            Some(why) if refused != reported.refused => tracing::error!(
                scope = SCOPE,
                error = why,
                names = ?self.source.server_names(),
                ca_bundle = %self.source.ca_bundle_path().display(),
                "API servers refuse the serving certificate; the webhook is not ready until it is replaced"
            ),
            None if reported.refused.is_some() => {
                tracing::info!(scope = SCOPE, "API servers accept the serving certificate again");
            }
            _ => {}
        }
        reported.refused = refused;
    }
}

fn not_after(pair: &CertifiedKey) -> Option<Timestamp> {
    Some(Fields::read(pair.cert.first()?)?.not_after)
}

/// An error with its causes, in one line.
fn with_causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
