//! Whether API servers accept the serving certificate. Pure.
//!
//! API servers are written in Go. Where its rules differ from those of rustls (RFC 5280 leaves room), Go's
//! are followed: a certificate that stands in the bundle itself needs no signer, and an authority must be
//! one by its own fields and dates. What rustls alone refuses, such as an old algorithm, is no reason.
//! docs/design/admission.md#what-makes-a-serving-certificate-refused

use std::fmt;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use zastava_core::clock::Timestamp;

use super::x509::Fields;

/// What API servers check a chain against.
#[derive(Debug)]
pub(super) struct Expectation<'o> {
    /// The names by which they call the webhook.
    pub(super) names: &'o [String],
    /// The registered CA bundle in PEM. Without it the signer is not checked.
    pub(super) ca_bundle: Option<String>,
}

/// Why API servers refuse a certificate. Never empty.
#[derive(Debug, PartialEq)]
pub(super) struct Refusals(Vec<Refusal>);

#[derive(Debug, PartialEq, thiserror::Error)]
enum Refusal {
    #[error("it ended at {0}")]
    Ended(Timestamp),
    #[error("it begins at {0}")]
    NotBegun(Timestamp),
    #[error("it does not name {0}")]
    OtherName(String),
    #[error("its extended key usage leaves out server authentication")]
    OtherPurpose,
    #[error("no certificate of the CA bundle signed it")]
    UnknownSigner,
    #[error("a certificate between it and the CA has ended or has not begun")]
    IntermediateDates,
    #[error("the CA that signed it ended at {0}")]
    SignerEnded(Timestamp),
    #[error("the CA that signed it begins at {0}")]
    SignerNotBegun(Timestamp),
    #[error("the certificate of the CA bundle that signed it is not that of a CA")]
    SignerIsNoAuthority,
}

impl Expectation<'_> {
    /// Checks a chain, leaf first.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Refusals> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
        let mut found: Vec<_> =
            self.names.iter().filter(|name| !is_named(leaf, name)).cloned().map(Refusal::OtherName).collect();
        let mut is_current = true;
        if let Some(fields) = Fields::read(leaf) {
            if now < fields.not_before {
                found.push(Refusal::NotBegun(fields.not_before));
            } else if now > fields.not_after {
                found.push(Refusal::Ended(fields.not_after));
            }
            is_current = (fields.not_before..=fields.not_after).contains(&now);
            if !fields.may_serve {
                found.push(Refusal::OtherPurpose);
            }
        }
        // A certificate out of its dates has no valid chain anyway.
        if let Some(bundle) = self.ca_bundle.as_ref().filter(|_| is_current) {
            found.extend(signer_refusal(leaf, intermediates, bundle, now));
        }
        if found.is_empty() { Ok(()) } else { Err(Refusals(found)) }
    }
}

fn is_named(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    // What rustls cannot parse is of an old version, without the extension that holds names.
    ParsedCertificate::try_from(leaf)
        .is_ok_and(|certificate| rustls::client::verify_server_name(&certificate, &name).is_ok())
}

fn signer_refusal(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &str,
    now: Timestamp,
) -> Option<Refusal> {
    let may_sign = |der: &&CertificateDer<'_>| Fields::read(der).is_none_or(|fields| fields.may_sign);
    let intermediates: Vec<_> = intermediates.iter().filter(may_sign).cloned().collect();
    let authorities: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok).collect();
    if authorities.iter().any(|authority| authority == leaf) {
        return None;
    }
    let (unfit, fit): (Vec<_>, Vec<_>) =
        authorities.into_iter().map(|der| (unfitness(&der, now), der)).partition(|(why, _)| why.is_some());
    let fit = fit.into_iter().map(|(_, der)| der);
    let refusal = verify(leaf, &intermediates, fit, now).err()?;
    // An unfit authority may be the one that signed. It is the better reason.
    let signer = unfit.into_iter().find(|(_, der)| verify(leaf, &intermediates, [der.clone()], now).is_ok());
    Some(signer.and_then(|(why, _)| why).unwrap_or(refusal))
}

/// Why the certificate cannot stand at the end of a chain. rustls does not ask that of a root.
fn unfitness(authority: &CertificateDer<'_>, now: Timestamp) -> Option<Refusal> {
    let fields = Fields::read(authority)?;
    if now < fields.not_before {
        Some(Refusal::SignerNotBegun(fields.not_before))
    } else if now > fields.not_after {
        Some(Refusal::SignerEnded(fields.not_after))
    } else {
        (!fields.may_sign).then_some(Refusal::SignerIsNoAuthority)
    }
}

fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return Ok(()) };
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
    let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &leaf,
        &roots,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
    );
    match verified {
        Err(rustls::Error::InvalidCertificate(cause)) => match cause {
            // A signature by another key means another authority of the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Err(Refusal::UnknownSigner),
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Err(Refusal::IntermediateDates),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}
