//! The webhook as a whole: certificate, listener, reviewer, and the way to Scanner.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use zastava_authority::RuntimeCore;
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::program::{Check, Health, Shutdown};
use zastava_core::telemetry::Telemetry;

use crate::error::Error;
use crate::options::WebhookOptions;
use crate::reviewer::Reviewer;
use crate::server::{Certificates, Endpoint, Server};
use crate::source::PolicySource;

/// The webhook, listening and not yet serving.
#[derive(Debug)]
pub struct App {
    server: Server,
    certificates: Arc<Certificates>,
    endpoint: Endpoint,
    ready: Check,
    /// Keeps tokens for an audience fresh while the webhook serves.
    core: Option<(RuntimeCore, String)>,
}

/// How long the first token is waited for before reviews are asked for: the first of them would wait
/// else. Not for ever: without Authority there are still verdicts in the cache and open namespaces.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Between looks for it when the failure does not say when the next one is worth it.
const TOKEN_RETRY: Duration = Duration::from_millis(250);

impl App {
    /// A webhook that asks Scanner. `decisions` gets every decision and must not block. Called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// When a certificate cannot serve, the address is taken, or Authority cannot be set up.
    pub async fn build(
        options: WebhookOptions,
        telemetry: &Telemetry,
        health: &Health,
        decisions: impl Fn(&AdmissionDecisionEnvelope) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let core = RuntimeCore::connect(&options.runtime, &options.backend, telemetry)?;
        let status = core.clone();
        health.status("authority", move || status.status());
        let audience = options.runtime.authority.audience.clone();
        let app = Self::with_source(options, core.scanner(), telemetry, health, decisions).await?;
        Ok(Self { core: Some((core, audience)), ..app })
    }

    /// A webhook that asks something else; the options' `runtime` and `backend` are not used.
    ///
    /// # Errors
    /// When a certificate cannot serve, or the address is taken.
    pub async fn with_source(
        options: WebhookOptions,
        source: impl PolicySource + 'static,
        telemetry: &Telemetry,
        health: &Health,
        decisions: impl Fn(&AdmissionDecisionEnvelope) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let certificates = Arc::new(Certificates::load(&options.tls, telemetry)?);
        let server = Server::bind(&options, Arc::clone(&certificates)).await?;
        let reviewer = Reviewer::new(options.admission, source, telemetry);
        let endpoint = Endpoint::new(reviewer, options.limits.body_bytes_max, Box::new(decisions));
        Ok(Self { server, certificates, endpoint, ready: health.check("reviews"), core: None })
    }

    /// Where it listens, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves until the shutdown has begun and every review in flight is answered.
    pub async fn run(self, shutdown: Shutdown) {
        tracing::info!(listen = %self.local_addr(), "reviews are taken");
        let first_token = async {
            if let Some((core, audience)) = &self.core {
                // Whatever comes of it is logged where it happens.
                let _ = tokio::time::timeout(FIRST_TOKEN_TIMEOUT, first_token(core, audience)).await;
            }
        };
        tokio::select! {
            () = self.server.serve(self.endpoint, &self.ready, first_token, shutdown) => {}
            () = self.certificates.watch() => {}
        }
        drop(self.core);
    }
}

/// A failure is no end: installed together, Authority may be there a second later.
async fn first_token(core: &RuntimeCore, audience: &str) {
    let tokens = core.tokens();
    while let Err(error) = tokens.token(audience).await {
        tokio::time::sleep(error.retry_after().unwrap_or(TOKEN_RETRY)).await;
    }
}
