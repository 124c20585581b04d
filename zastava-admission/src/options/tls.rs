//! `zastava.webhook.tls`: where the serving certificate comes from.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use zastava_core::config::Section;

/// `zastava.webhook.tls`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM file of the certificate chain, leaf first.
    pub certificate_path: PathBuf,
    /// PEM file of the leaf's key.
    pub private_key_path: PathBuf,
    /// PEM file of the authorities that API servers check the chain against. The webhook is not ready
    /// while its chain does not hold against it. Without the file the signer is not checked.
    pub ca_bundle_path: PathBuf,
    /// The names by which API servers call the webhook. It is not ready while its certificate lacks one.
    pub server_names: Vec<String>,
    /// PEM file of the authorities that client certificates are checked against. With it, nobody without
    /// such a certificate is served.
    pub client_ca_bundle_path: Option<PathBuf>,
    /// How often the files are read.
    pub poll_interval: Duration,
}

impl Default for TlsOptions {
    fn default() -> Self {
        let file = |name| PathBuf::from("/var/run/secrets/zastava-webhook").join(name);
        Self {
            certificate_path: file("tls.crt"),
            private_key_path: file("tls.key"),
            ca_bundle_path: file("ca.crt"),
            server_names: Vec::new(),
            client_ca_bundle_path: None,
            poll_interval: Duration::from_secs(3),
        }
    }
}

impl TlsOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let mode = section.checked("mode", "Secret".to_owned(), "Secret or CsrBundle", |mode| {
            matches!(mode.as_str(), "Secret" | "CsrBundle")
        });
        if mode == "CsrBundle" {
            section.conflict("mode", "CsrBundle is not built yet; mount the certificate and use Secret");
        }
        let options = Self {
            certificate_path: section.value("certificatePath", defaults.certificate_path),
            private_key_path: section.value("privateKeyPath", defaults.private_key_path),
            ca_bundle_path: section.value("caBundlePath", defaults.ca_bundle_path),
            server_names: section.list("serverNames", defaults.server_names),
            client_ca_bundle_path: section.optional("clientCaBundlePath"),
            poll_interval: section.checked(
                "pollInterval",
                defaults.poll_interval,
                "more than nothing",
                |interval| !interval.is_zero(),
            ),
        };
        for name in &options.server_names {
            if !matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_))) {
                section.conflict("serverNames", format!("{name:?} is no DNS name"));
            }
        }
        section.finish();
        options
    }
}
