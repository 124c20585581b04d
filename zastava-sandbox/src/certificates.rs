//! The sandbox's own certificate authority.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use zastava_core::http_service::BoxError;
use zastava_core::pem;
use zastava_core::secret::Secret;

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates are valid from an hour ago, since clocks of containers and virtual machines differ.
const BACKDATED: Duration = Duration::from_secs(3600);
/// Certificates that expire sooner are replaced at the start.
const REMAINING_MIN: Duration = Duration::from_secs(24 * 3600);

/// Signs certificates that nobody outside the sandbox trusts.
#[derive(Debug)]
pub(crate) struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(crate) struct CertificateAndKey {
    pub(crate) certificate: String,
    pub(crate) key: Secret,
}

/// What a certificate is for. Neither is accepted for the other (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Server,
    Client,
}

impl CertificateAuthority {
    /// A new authority, and its certificate and key for a later run.
    pub(crate) fn generate() -> Result<(Self, CertificateAndKey), BoxError> {
        let key = KeyPair::generate()?;
        let certificate = authority_params().self_signed(&key)?;
        let identity =
            CertificateAndKey { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) };
        Ok((Self::new(key, certificate.into()), identity))
    }

    /// The authority of an earlier run.
    pub(crate) fn restore(identity: &CertificateAndKey) -> Result<Self, BoxError> {
        let provider = provider();
        let certified = identity.load(&provider)?;
        let certificate = certified.end_entity_cert()?.clone().into_owned();
        let key = pem::private_key(identity.key.expose().as_bytes())?;
        Ok(Self::new(KeyPair::try_from(key.der())?, certificate))
    }

    fn new(key: KeyPair, certificate: CertificateDer<'static>) -> Self {
        Self { issuer: Issuer::new(authority_params(), key), certificate, provider: provider() }
    }

    /// A certificate for host names or addresses.
    pub(crate) fn issue(&self, names: &[&str], purpose: Purpose) -> Result<CertificateAndKey, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        set_validity(&mut params);
        params.distinguished_name.push(DnType::CommonName, "zastava sandbox");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(CertificateAndKey { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) })
    }

    /// Checks that the certificate and key belong together, are of this authority and for this purpose,
    /// and are valid for a while from `now`, the time since the Unix epoch.
    pub(crate) fn check(
        &self,
        identity: &CertificateAndKey,
        name: &str,
        purpose: Purpose,
        now: Duration,
    ) -> Result<(), BoxError> {
        let certified = identity.load(&self.provider)?;
        let certificate = certified.end_entity_cert()?;
        let later = UnixTime::since_unix_epoch(now + REMAINING_MIN);
        match purpose {
            Purpose::Server => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(self.roots(&[])?, Arc::clone(&self.provider))
                        .build()?;
                let name = ServerName::try_from(name)?;
                verifier.verify_server_cert(certificate, &[], &name, &[], later)?;
            }
            Purpose::Client => {
                self.client_verifier(&[])?.verify_client_cert(certificate, &[], later)?;
                names_client(certificate, name).then_some(()).ok_or("another client's certificate")?;
            }
        }
        Ok(())
    }

    /// TLS for a server that asks clients for no certificate.
    pub(crate) fn server_config(&self, identity: &CertificateAndKey) -> Result<ServerConfig, BoxError> {
        self.config_with(identity, WebPkiClientVerifier::no_client_auth())
    }

    /// TLS that accepts client certificates of this authority or of one of `others`. It also accepts
    /// connections without one, so that the endpoint can refuse them with an OAuth error.
    pub(crate) fn mutual_config(
        &self,
        identity: &CertificateAndKey,
        others: &[CertificateDer<'static>],
    ) -> Result<ServerConfig, BoxError> {
        self.config_with(identity, self.client_verifier(others)?)
    }

    fn config_with(
        &self,
        identity: &CertificateAndKey,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Result<ServerConfig, BoxError> {
        let (chain, key) = identity.parse()?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn client_verifier(
        &self,
        others: &[CertificateDer<'static>],
    ) -> Result<Arc<dyn ClientCertVerifier>, BoxError> {
        let builder =
            WebPkiClientVerifier::builder_with_provider(self.roots(others)?, Arc::clone(&self.provider));
        Ok(builder.allow_unauthenticated().build()?)
    }

    fn roots(&self, others: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, BoxError> {
        let mut roots = RootCertStore::empty();
        for certificate in std::iter::once(&self.certificate).chain(others) {
            roots.add(certificate.clone())?;
        }
        Ok(Arc::new(roots))
    }
}

impl CertificateAndKey {
    /// The certificate with its key, or an error if they do not belong together.
    fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, BoxError> {
        let (chain, key) = self.parse()?;
        Ok(CertifiedKey::from_der(chain, key, provider)?)
    }

    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BoxError> {
        let chain = read_bundle(&self.certificate)?;
        let key = pem::private_key(self.key.expose().as_bytes())?;
        Ok((chain, PrivateKeyDer::try_from(key.der().to_vec())?))
    }
}

/// Whether the certificate names the client in a DNS subject alternative name: the registration
/// `tls_client_auth_san_dns` of RFC 8705 section 2.1.2.
pub(crate) fn names_client(certificate: &CertificateDer<'_>, client_id: &str) -> bool {
    let named = || -> Result<(), BoxError> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        Ok(verify_server_name(&parsed, &ServerName::try_from(client_id)?)?)
    };
    named().is_ok()
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    set_validity(&mut params);
    params.distinguished_name.push(DnType::CommonName, "Zastava Sandbox Certificate Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch().saturating_sub(BACKDATED);
    params.not_after = epoch + (since_epoch() + LIFETIME);
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The names under which a server at `listen` is reached.
pub(crate) fn server_names(listen: IpAddr, host: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let own = (!listen.is_unspecified()).then(|| listen.to_string());
    for name in own.into_iter().chain(host.map(str::to_owned)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The certificates of a PEM text: at least one.
pub(crate) fn read_bundle(text: &str) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    Ok(pem::certificates(text.as_bytes())?.into_iter().map(CertificateDer::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_good_for_one_name_one_purpose_and_a_year() {
        let (authority, kept) = CertificateAuthority::generate().expect("is made");
        let client = authority.issue(&["a-client"], Purpose::Client).expect("is issued");
        let server = authority.issue(&["a.example", "::1"], Purpose::Server).expect("is issued");
        let (now, day) = (since_epoch(), Duration::from_secs(24 * 3600));
        let rows = [
            (&client, "a-client", Purpose::Client, now, true),
            (&client, "another", Purpose::Client, now, false),
            (&client, "a-client", Purpose::Server, now, false),
            (&server, "a.example", Purpose::Server, now, true),
            (&server, "::1", Purpose::Server, now + 363 * day, true),
            (&server, "a.example", Purpose::Client, now, false),
            (&server, "b.example", Purpose::Server, now, false),
            (&server, "a.example", Purpose::Server, now + 365 * day, false),
            (&client, "a-client", Purpose::Client, now + 365 * day, false),
            (&client, "a-client", Purpose::Client, now - 3 * day, false),
        ];
        let restored = CertificateAuthority::restore(&kept).expect("comes back");
        for (identity, name, purpose, now, good) in rows {
            for authority in [&authority, &restored] {
                let checked = authority.check(identity, name, purpose, now);
                assert_eq!(checked.is_ok(), good, "{name} {purpose:?}: {checked:?}");
            }
        }
        let (stranger, _) = CertificateAuthority::generate().expect("is made");
        stranger.check(&client, "a-client", Purpose::Client, now).expect_err("another authority's");
    }
}
