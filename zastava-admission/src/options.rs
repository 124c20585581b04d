//! `zastava.webhook`: how the webhook serves, what it asks, and what it does without an answer.

mod admission;
mod limits;
mod namespace;
mod registries;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use zastava_core::config::Section;
use zastava_core::options::{BackendOptions, Component, HealthOptions, RuntimeOptions};

pub use admission::{AdmissionOptions, FailOpen};
pub use limits::LimitOptions;
pub use namespace::NamespaceOptions;
pub use registries::{MirrorOptions, RegistryHost, RegistryOptions};
pub use tls::TlsOptions;

/// The default port of probes and metrics.
const HEALTH_PORT: u16 = 9102;
/// The kernel's name of the host; in a pod with a network of its own it is the pod's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// No orchestrator waits longer for a pod to end.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// Everything that `zastava-webhook` reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebhookOptions {
    /// `zastava.runtime`
    pub runtime: RuntimeOptions,
    /// Where the webhook takes reviews.
    pub listen: SocketAddr,
    /// The serving certificate.
    pub tls: TlsOptions,
    /// How reviews are decided.
    pub admission: AdmissionOptions,
    /// Which registries are asked for the digest of a tag.
    pub registries: RegistryOptions,
    /// Where Scanner is.
    pub backend: BackendOptions,
    /// Where the webhook serves probes and metrics.
    pub health: HealthOptions,
    /// What callers may take.
    pub limits: LimitOptions,
    /// How long the webhook still takes connections after SIGTERM. API servers learn late that an
    /// endpoint has gone.
    pub drain: Duration,
    /// The name of this replica, which its decisions carry: the variable `POD_NAME`, otherwise the host's
    /// name.
    pub replica: String,
}

impl WebhookOptions {
    /// Reads the section `zastava`, except for the observer's part. Returns `None` when a required
    /// setting is missing or faulty; the faults are in the section's report.
    #[must_use]
    pub fn read(root: &Section<'_>) -> Option<Self> {
        root.skip("observer");
        let runtime = RuntimeOptions::read(&root.section("runtime"));
        let webhook = root.section("webhook");
        let listen = webhook.value("listen", SocketAddr::from(([0, 0, 0, 0], 8443)));
        let tls = TlsOptions::read(&webhook.section("tls"));
        let admission = AdmissionOptions::read(&webhook.section("admission"));
        let registries = RegistryOptions::read(&webhook.section("registries"));
        let backend = BackendOptions::read(&webhook.section("backend"));
        let health = HealthOptions::read(&webhook.section("health"), HEALTH_PORT);
        let limits = LimitOptions::read(&webhook.section("limits"));
        let drain = webhook
            .checked("drainSeconds", Duration::from_secs(5), "5m at most", |drain| *drain <= DRAIN_MAX);
        webhook.finish();
        root.finish();
        let mut runtime = runtime?;
        runtime.component = Component::Webhook;
        Some(Self {
            runtime,
            listen,
            tls,
            admission,
            registries,
            backend: backend?,
            health,
            limits,
            drain,
            replica: replica(),
        })
    }
}

fn replica() -> String {
    let named = std::env::var("POD_NAME").ok().filter(|name| !name.trim().is_empty());
    named.or_else(|| std::fs::read_to_string(HOST_NAME).ok()).unwrap_or_default().trim().to_owned()
}
