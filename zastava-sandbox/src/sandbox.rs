//! The handle of a running sandbox.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use rustls::pki_types::{CertificateDer, ServerName};
use zastava_core::contract::RuntimeEventEnvelope;
use zastava_core::secret::Secret;

use crate::authority::Authority;
use crate::certificates::{CertificateAndKey, CertificateAuthority, Purpose, read_bundle, server_names};
use crate::configuration;
use crate::counts::Counts;
use crate::error::Error;
use crate::fault::{FAULTS_MAX, Fault};
use crate::files::{self, Files};
use crate::options::{SandboxOptions, ServerIdentity};
use crate::outage::{self, Outages};
use crate::platform::Platform;
use crate::scanner::Scanner;
use crate::server::{ReservedPort, Server};

/// A running Authority and a running Scanner. Cheap to clone; both end at [`Sandbox::stop`] or
/// with the last handle.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    platform: Arc<Platform>,
    files: Files,
    certificates: CertificateAuthority,
    authority: Arc<Server<Authority>>,
    scanner: Arc<Server<Scanner>>,
}

impl Sandbox {
    /// Writes the files, or finds those of an earlier run, and starts both servers. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// The directory cannot be used or is open to other users, the host or a given certificate cannot
    /// be used, or a port is taken.
    pub async fn start(mut options: SandboxOptions) -> Result<Self, Error> {
        let directory = std::path::absolute(&options.directory).map_err(Error::file(&options.directory))?;
        if directory.to_str().is_none() {
            return Err(Error::DirectoryName { path: directory });
        }
        options.directory.clone_from(&directory);
        if let Some(host) = options.host.as_deref().filter(|host| ServerName::try_from(*host).is_err()) {
            return Err(Error::Host { host: host.to_owned() });
        }
        let (files, certificates) = Files::open(&directory)?;

        let authority_port = ReservedPort::new(SocketAddr::new(options.listen, options.authority_port))?;
        let scanner_port = ReservedPort::new(SocketAddr::new(options.listen, options.scanner_port))?;
        let (identity, others) = server_identity(&options, &certificates)?;
        let authority_tls =
            certificates.mutual_config(&identity, &others).map_err(Error::tls("Authority's TLS"))?;
        let scanner_tls = certificates.server_config(&identity).map_err(Error::tls("Scanner's TLS"))?;

        let host = options.host.as_deref();
        let (issuer, scanner_url) = (url(authority_port.address, host), url(scanner_port.address, host));
        let (outages, outage_requests) = Outages::new();
        let platform = Platform::new(options, issuer, scanner_url, outages);
        let handler = Arc::new(Authority(Arc::clone(&platform)));
        let authority = Arc::new(Server::new(authority_port, authority_tls, handler));
        let handler = Arc::new(Scanner(Arc::clone(&platform)));
        let scanner = Arc::new(Server::new(scanner_port, scanner_tls, handler));
        authority.online().await?;
        scanner.online().await?;
        tracing::info!(issuer = platform.issuer, scanner = platform.scanner_url, "the sandbox is running");
        outage::spawn(outage_requests, &authority, &scanner);
        Ok(Self(Arc::new(Inner { platform, files, certificates, authority, scanner })))
    }

    /// Authority's issuer URL.
    #[must_use]
    pub fn issuer(&self) -> Uri {
        self.0.platform.issuer.parse().expect("it was checked at the start")
    }

    /// Scanner's base address.
    #[must_use]
    pub fn scanner_url(&self) -> Uri {
        self.0.platform.scanner_url.parse().expect("it was checked at the start")
    }

    /// The authorities that clients check both servers against.
    #[must_use]
    pub fn ca_bundle(&self) -> &Path {
        let given = self.0.platform.options.server_identity.as_ref();
        given.map_or(&self.0.files.ca_bundle, |identity| &identity.ca_bundle)
    }

    /// The files that clients need.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// A complete configuration for the observer and the webhook, as YAML. All paths are in the sandbox's
    /// directory, and all listeners on loopback.
    #[must_use]
    pub fn configuration(&self, tenant: &str) -> String {
        configuration::yaml(&self.0.platform, &self.0.files, self.ca_bundle(), tenant)
    }

    /// Writes [`Sandbox::configuration`] into the directory as `zastava.yaml`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_configuration(&self, tenant: &str) -> Result<std::path::PathBuf, Error> {
        let path = self.0.platform.options.directory.join("zastava.yaml");
        files::write(&path, &self.configuration(tenant))?;
        Ok(path)
    }

    /// A server certificate of the sandbox's authority for host names or IP addresses: chain and
    /// key as PEM.
    ///
    /// # Panics
    /// When a name is neither a host name nor an IP address.
    #[must_use]
    pub fn issue_server_certificate(&self, names: &[&str]) -> (String, Secret) {
        self.issue(names, Purpose::Server)
    }

    /// A client certificate that names the client in a DNS subject alternative name. Authority
    /// accepts only `zastava-runtime`.
    ///
    /// # Panics
    /// When the client's name cannot be a host name.
    #[must_use]
    pub fn issue_client_certificate(&self, client_id: &str) -> (String, Secret) {
        self.issue(&[client_id], Purpose::Client)
    }

    fn issue(&self, names: &[&str], purpose: Purpose) -> (String, Secret) {
        let CertificateAndKey { certificate, key } =
            self.0.certificates.issue(names, purpose).expect("the names can be in a certificate");
        (certificate, key)
    }

    /// The accepted events that are kept, oldest first.
    #[must_use]
    pub fn accepted(&self) -> Vec<RuntimeEventEnvelope> {
        self.0.platform.activity.look(|record| record.events.events().to_vec())
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.platform.activity.look(|record| record.counts)
    }

    /// Waits until `done` returns true for the counts and the accepted events. It is called after
    /// every change, and must not call the sandbox.
    pub async fn wait_until(&self, done: impl Fn(&Counts, &[RuntimeEventEnvelope]) -> bool) {
        let mut changes = self.0.platform.activity.changes();
        while !self.0.platform.activity.look(|record| done(&record.counts, record.events.events())) {
            // The sender lives as long as `self`, so that the wait cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Lets the next requests of a route meet a fault, after the faults that wait already.
    ///
    /// # Panics
    /// When 1,000 faults wait.
    pub fn misbehave(&self, fault: Fault) {
        let room = self.0.platform.activity.update(|record| record.faults.push(fault));
        assert!(room, "more than {FAULTS_MAX} faults wait");
    }

    /// Forgets the faults that wait.
    pub fn clear_faults(&self) {
        self.0.platform.activity.update(|record| record.faults.clear());
    }

    /// Makes every nonce that either server issued invalid.
    pub fn rotate_nonces(&self) {
        self.0.platform.rotate_nonces();
    }

    /// Closes Scanner's listener and connections: connections are refused until it comes back.
    /// Events, ids and the port are kept.
    pub async fn scanner_offline(&self) {
        self.0.scanner.offline().await;
    }

    /// Opens Scanner again at the same port.
    ///
    /// # Errors
    /// The sandbox is stopped, or the port was lost.
    pub async fn scanner_online(&self) -> Result<(), Error> {
        self.0.scanner.online().await
    }

    /// Closes Authority's listener and connections. Keys, nonces and the port are kept.
    pub async fn authority_offline(&self) {
        self.0.authority.offline().await;
    }

    /// Opens Authority again at the same port.
    ///
    /// # Errors
    /// The sandbox is stopped, or the port was lost.
    pub async fn authority_online(&self) -> Result<(), Error> {
        self.0.authority.online().await
    }

    /// Closes both servers for good and gives their ports back.
    pub async fn stop(&self) {
        self.0.authority.stop().await;
        self.0.scanner.stop().await;
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platform = &self.0.platform;
        f.debug_struct("Sandbox")
            .field("issuer", &platform.issuer)
            .field("scanner_url", &platform.scanner_url)
            .field("directory", &platform.options.directory)
            .finish_non_exhaustive()
    }
}

/// The certificate that both servers present, and further authorities whose client certificates are
/// accepted.
fn server_identity(
    options: &SandboxOptions,
    certificates: &CertificateAuthority,
) -> Result<(CertificateAndKey, Vec<CertificateDer<'static>>), Error> {
    let Some(ServerIdentity { certificate, key, ca_bundle }) = &options.server_identity else {
        let names = server_names(options.listen, options.host.as_deref());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let issued = certificates.issue(&names, Purpose::Server);
        return Ok((issued.map_err(|error| Error::tls("a server certificate")(error.into()))?, Vec::new()));
    };
    let bundle = std::fs::read_to_string(ca_bundle).map_err(Error::file(ca_bundle))?;
    let others = read_bundle(&bundle).map_err(Error::tls("a trust store of the given CA bundle"))?;
    let identity = files::read(certificate, key).map_err(Error::file(certificate))?;
    Ok((identity, others))
}

/// The URL of a server that listens on `address`. If that is every address, the URL names loopback,
/// unless a host is given.
fn url(address: SocketAddr, host: Option<&str>) -> String {
    if let Some(host) = host {
        return match host.parse::<IpAddr>() {
            Ok(ip) => format!("https://{}", SocketAddr::new(ip, address.port())),
            Err(_) => format!("https://{host}:{}", address.port()),
        };
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, address.port()))
}
