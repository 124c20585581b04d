//! `zastava.webhook`: how the webhook serves, what it asks, and what it does without an answer.

mod admission;
mod limits;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use zastava_core::config::Section;
use zastava_core::options::{BackendOptions, Component, HealthOptions, RuntimeOptions};

pub use admission::{AdmissionOptions, FailOpen};
pub use limits::LimitOptions;
pub use tls::TlsOptions;

/// The default port of probes and metrics.
const HEALTH_PORT: u16 = 9102;
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
    /// Where Scanner is.
    pub backend: BackendOptions,
    /// Where the webhook serves probes and metrics.
    pub health: HealthOptions,
    /// What callers may take.
    pub limits: LimitOptions,
    /// How long the webhook still takes connections after SIGTERM. API servers learn late that an
    /// endpoint has gone.
    pub drain: Duration,
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
        let backend = BackendOptions::read(&webhook.section("backend"));
        let health = HealthOptions::read(&webhook.section("health"), HEALTH_PORT);
        let limits = LimitOptions::read(&webhook.section("limits"));
        let drain = webhook
            .checked("drainSeconds", Duration::from_secs(5), "5m at most", |drain| *drain <= DRAIN_MAX);
        webhook.finish();
        root.finish();
        let mut runtime = runtime?;
        runtime.component = Component::Webhook;
        Some(Self { runtime, listen, tls, admission, backend: backend?, health, limits, drain })
    }
}
