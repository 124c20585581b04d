//! The options of a sandbox.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::{Clock, SystemClock};
use zastava_core::secret::Secret;

use crate::policy::Policy;

/// The only client that Authority knows.
pub(crate) const CLIENT_ID: &str = "zastava-runtime";

/// How a sandbox is started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SandboxOptions {
    /// The address of both servers. Default: 127.0.0.1.
    pub listen: IpAddr,
    /// The host name or address in both URLs and in the servers' certificates, such as that of a
    /// Kubernetes Service. `None`: the address on which they listen.
    pub host: Option<String>,
    /// The certificate that both servers present instead of one of the sandbox's own authority.
    pub server_identity: Option<ServerIdentity>,
    /// Authority's port; 0 lets the system choose one, which stays the same until the end.
    pub authority_port: u16,
    /// Scanner's port; 0 lets the system choose one, which stays the same until the end.
    pub scanner_port: u16,
    /// Where certificates and keys are written, and found by the next run. The directory is made with
    /// mode 0700; an empty one gets that mode. One that holds something and is open to other users is
    /// refused.
    pub directory: PathBuf,
    /// What Scanner answers for which image.
    pub policy: Policy,
    /// The lifetime of a token: at least one second. Default: 120 s.
    pub token_lifetime: Duration,
    /// Accepts `client_secret_basic` with this secret in addition to client certificates.
    pub client_secret: Option<Secret>,
    /// A bearer token that Scanner accepts in addition to bound tokens. A platform issues one for the
    /// bootstrap, while its Authority cannot be reached.
    pub static_token: Option<Secret>,
    /// Accepted events that are kept. Default: 100,000. The oldest are forgotten first. Ten times as many
    /// ids are remembered, so that a repeated event is still counted as a duplicate.
    pub events_kept_max: usize,
    /// The clock for tokens, proofs and nonces. TLS uses the system's clock.
    pub clock: Arc<dyn Clock>,
}

impl SandboxOptions {
    /// The defaults, with the embedded policy and ports that the system chooses.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host: None,
            server_identity: None,
            authority_port: 0,
            scanner_port: 0,
            directory: directory.into(),
            policy: Policy::embedded(),
            token_lifetime: Duration::from_secs(120),
            client_secret: None,
            static_token: None,
            events_kept_max: 100_000,
            clock: Arc::new(SystemClock),
        }
    }
}

/// PEM files of a certificate of another authority, for a sandbox whose clients have certificates of
/// that authority already. The authority's key is not needed.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the three files that an identity has")]
pub struct ServerIdentity {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
    /// The authorities that clients check the chain against. Authority accepts their client certificates
    /// in addition to those of the sandbox's own authority.
    pub ca_bundle: PathBuf,
}
