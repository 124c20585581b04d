//! What a sandbox can be told.

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
    /// The address of both servers; 127.0.0.1.
    pub listen: IpAddr,
    /// The host name or address that both URLs and the servers' certificates name, such as that of
    /// a Kubernetes Service; `None`: the address that is listened at.
    pub host: Option<String>,
    /// What both servers show instead of certificates of the sandbox's own authority.
    pub server_identity: Option<ServerIdentity>,
    /// Authority's port; 0 lets the system choose one, which is kept until the end.
    pub authority_port: u16,
    /// Scanner's port; 0 lets the system choose one, which is kept until the end.
    pub scanner_port: u16,
    /// Where certificates and keys are written and found again. Made with mode 0700, as is an
    /// empty directory; one that holds something and is open to others is refused.
    pub directory: PathBuf,
    /// What Scanner answers for which image.
    pub policy: Policy,
    /// How long a token holds; 120 s, at least one second.
    pub token_lifetime: Duration,
    /// Takes `client_secret_basic` with this secret besides client certificates.
    pub client_secret: Option<Secret>,
    /// A bearer token that Scanner takes besides bound ones: what a platform hands out for the
    /// bootstrap, while its Authority cannot be reached.
    pub static_token: Option<Secret>,
    /// Accepted events kept for reading; 100,000. The oldest are forgotten, and ten times as many
    /// ids are remembered, so that a repeat still counts as one.
    pub events_kept_max: usize,
    /// What tokens, proofs and nonces are dated and judged by. TLS keeps to the system's clock.
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

/// PEM files of a certificate that somebody else issued, for a sandbox whose clients have theirs
/// already. The key of that authority is not needed, and need not exist any more.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the three files that an identity has")]
pub struct ServerIdentity {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
    /// The authorities that clients check the chain against. Authority takes client certificates
    /// of theirs beside those of the sandbox's own.
    pub ca_bundle: PathBuf,
}
