//! Whether API servers accept the serving certificate. Pure.
//!
//! API servers are written in Go. Where its rules differ from those of rustls (RFC 5280 leaves room), Go's
//! are followed: a certificate that stands in the bundle itself needs no signer, and an authority must be
//! one by its own fields, dates and purposes. What cannot be checked is refused.
//! docs/design/admission.md#what-makes-a-serving-certificate-refused

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter};
use zastava_core::clock::Timestamp;
use zastava_core::pem;

use super::pair::PemFile;
use super::x509::{Fields, SERVER_PURPOSES};

/// What API servers check a chain against.
pub(super) struct Expectation<'o> {
    /// The names by which they call the webhook.
    pub(super) names: &'o [String],
    /// The registered CA bundle. Without it the signer is not checked.
    pub(super) ca_bundle: Option<PemFile>,
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
    #[error("the CA bundle {} holds no certificate: {why}", path.display())]
    NoAuthorities { path: PathBuf, why: String },
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
    #[error("it is the certificate of a CA and does not stand in the CA bundle itself")]
    AuthorityAsLeaf,
    #[error("the extended key usage of a CA of its chain leaves out server authentication")]
    ChainPurpose,
    #[error("a CA of its chain is constrained to other names")]
    ChainNames,
    #[error("its chain has more intermediates than a CA of it permits")]
    ChainLength,
    #[error("a certificate of its chain has a critical extension that is unknown")]
    ChainExtension,
    #[error("a signature of its chain has an algorithm that is too old or unknown")]
    ChainAlgorithm,
    #[error("its chain is not valid: {0:?}")]
    Chain(webpki::Error),
}

impl Expectation<'_> {
    /// Checks a chain, leaf first.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Refusals> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
        let mut found: Vec<_> =
            self.names.iter().filter(|name| !is_named(leaf, name)).cloned().map(Refusal::OtherName).collect();
        let mut is_fit = true;
        if let Some(fields) = Fields::read(leaf) {
            if now < fields.not_before {
                found.push(Refusal::NotBegun(fields.not_before));
            } else if now > fields.not_after {
                found.push(Refusal::Ended(fields.not_after));
            }
            if !fields.may_serve {
                found.push(Refusal::OtherPurpose);
            }
            is_fit = (fields.not_before..=fields.not_after).contains(&now) && fields.may_serve;
        }
        match self.ca_bundle.as_ref().map(authorities) {
            Some(Err(refusal)) => found.push(refusal),
            // A certificate out of its dates or for another purpose has no valid chain anyway.
            Some(Ok(authorities)) if is_fit => {
                found.extend(signer_refusal(leaf, intermediates, &authorities, now));
            }
            _ => {}
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

/// The certificates of a bundle. Go's library, too, leaves out the blocks that it cannot read.
fn authorities(bundle: &PemFile) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bundle.bytes).filter_map(Result::ok).collect();
    if found.iter().any(|authority| Fields::read(authority).is_some()) {
        return Ok(found);
    }
    let fault = pem::certificates(&bundle.bytes).err();
    let why = fault.map_or_else(|| "what it holds is none of X.509".to_owned(), |fault| fault.to_string());
    Err(Refusal::NoAuthorities { path: bundle.path.clone(), why })
}

/// Why no authority of the bundle makes the chain a valid one; `None` if one does.
fn signer_refusal(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    now: Timestamp,
) -> Option<Refusal> {
    let may_sign = |der: &&CertificateDer<'_>| Fields::read(der).is_none_or(|fields| fields.may_sign);
    let intermediates: Vec<_> = intermediates.iter().filter(may_sign).cloned().collect();
    if authorities.iter().any(|authority| authority == leaf) {
        return None;
    }
    let mut found = Refusal::UnknownSigner;
    for authority in authorities {
        match verify(leaf, &intermediates, authority, now) {
            Ok(()) => return None,
            Err(Refusal::UnknownSigner) => {}
            Err(refusal) => found = refusal,
        }
    }
    Some(found)
}

fn verify(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authority: &CertificateDer<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let anchors = [webpki::anchor_from_trusted_cert(authority).map_err(|_| Refusal::UnknownSigner)?];
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
    let leaf = EndEntityCert::try_from(leaf).map_err(Refusal::of_chain)?;
    let path = leaf.verify_for_usage(
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
        &anchors,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        ServerPurpose,
        None,
        None,
    );
    let length = path.map_err(Refusal::of_chain)?.intermediate_certificates().count();
    Fields::read(authority).map_or(Ok(()), |fields| fitness(&fields, length, now))
}

/// Whether the certificate can stand at the end of a chain with so many intermediates. webpki asks a root for nothing but its
/// key and the names that it is constrained to.
fn fitness(authority: &Fields, intermediates: usize, now: Timestamp) -> Result<(), Refusal> {
    if now < authority.not_before {
        Err(Refusal::SignerNotBegun(authority.not_before))
    } else if now > authority.not_after {
        Err(Refusal::SignerEnded(authority.not_after))
    } else if !authority.may_sign {
        Err(Refusal::SignerIsNoAuthority)
    } else if authority.is_unknown {
        Err(Refusal::ChainExtension)
    } else if !authority.may_serve {
        Err(Refusal::ChainPurpose)
    } else if authority.intermediates_max.is_some_and(|most| intermediates > most) {
        Err(Refusal::ChainLength)
    } else {
        Ok(())
    }
}

/// Go's rule for the purposes of each certificate of a chain: none are named, or one of them is for servers or any.
struct ServerPurpose;

impl ExtendedKeyUsageValidator for ServerPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut names_any = false;
        for purpose in purposes {
            let purpose = purpose?;
            if SERVER_PURPOSES.iter().any(|oid| KeyPurposeId::new(oid) == purpose) {
                return Ok(());
            }
            names_any = true;
        }
        if names_any { Err(webpki::Error::ExtensionValueInvalid) } else { Ok(()) }
    }
}

impl Refusal {
    /// What keeps webpki from building a chain. Whatever it does not accept is a refusal: a webhook that is not ready says why,
    /// and one that API servers refuse without a word blocks the cluster.
    fn of_chain(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            // A signature by another key means another authority of the same name.
            Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Self::UnknownSigner,
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } | Error::InvalidCertValidity => {
                Self::IntermediateDates
            }
            Error::CaUsedAsEndEntity => Self::AuthorityAsLeaf,
            Error::ExtensionValueInvalid => Self::ChainPurpose,
            Error::NameConstraintViolation => Self::ChainNames,
            Error::PathLenConstraintViolated => Self::ChainLength,
            Error::UnsupportedCriticalExtension => Self::ChainExtension,
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::ChainAlgorithm,
            other => Self::Chain(other),
        }
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
