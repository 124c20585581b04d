//! Why an exchange failed: TLS that one side refused, or no connection.

use std::error::Error as StdError;
use std::io;

use rustls::AlertDescription;

use crate::error::{Error, SharedSource};

/// The error of an exchange with this origin. A refused certificate is told apart from a server that
/// cannot be reached: it does not pass by itself, and another person mends it.
pub(crate) fn failure(origin: String, source: SharedSource) -> Error {
    match tls_error(&*source) {
        Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => {
            Error::CertificateRefused { origin, source }
        }
        Some(rustls::Error::InvalidCertificate(_)) => Error::Untrusted { origin, source },
        _ => Error::Unreachable { origin, source },
    }
}

fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // The source of an I/O error is that of the error in it, and passes over that error.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}

/// RFC 8446 section 6.2. `handshake_failure` is not among them: it has other reasons too.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}
