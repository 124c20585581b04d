//! The whole webhook: certificate, listener, reviewer, and the connection to Scanner.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use zastava_authority::RuntimeCore;
use zastava_core::clock::Timestamp;
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::program::{Check, Health, Shutdown};
use zastava_core::telemetry::Telemetry;

use crate::error::Error;
use crate::options::WebhookOptions;
use crate::policy::PolicySource;
use crate::resolve::Registries;
use crate::reviewer::{Reviewer, log_exceptions};
use crate::server::{Certificates, Endpoint, Server};

/// The webhook, bound to its address and not yet serving.
#[derive(Debug)]
pub struct App {
    server: Server,
    certificates: Arc<Certificates>,
    endpoint: Endpoint,
    ready: Check,
    /// Keeps tokens for an audience fresh while the webhook serves.
    core: Option<(RuntimeCore, String)>,
}

/// How long readiness waits for the first token, so that the first reviews do not have to. The webhook
/// becomes ready without it in the end, because it can still serve namespaces that fail open.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to the next attempt when the failure does not name one.
const TOKEN_RETRY: Duration = Duration::from_millis(250);

impl App {
    /// A webhook that asks Scanner. It passes every decision to `decisions`, which must not block.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the certificate cannot serve, the address cannot be bound, or the options for Authority and
    /// Scanner do not work.
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

    /// A webhook that asks another policy source. It does not use the options' `runtime` and `backend`.
    ///
    /// # Errors
    /// When the certificate cannot serve or the address cannot be bound.
    pub async fn with_source(
        options: WebhookOptions,
        source: impl PolicySource + 'static,
        telemetry: &Telemetry,
        health: &Health,
        decisions: impl Fn(&AdmissionDecisionEnvelope) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let certificates =
            Arc::new(Certificates::load(&options.tls, telemetry, health.check("certificate"))?);
        let server = Server::bind(&options, Arc::clone(&certificates)).await?;
        log_exceptions(&options.admission, Timestamp::now());
        let reviewer = Reviewer::new(options.admission, source, telemetry)
            .with_registries(Registries::connect(&options.registries, telemetry)?)
            .with_replica(options.replica);
        reviewer.warm();
        health.status("admission", reviewer.status());
        let endpoint = Endpoint::new(reviewer, options.limits, telemetry, Box::new(decisions));
        Ok(Self { server, certificates, endpoint, ready: health.check("reviews"), core: None })
    }

    /// The bound address. It has the port that the system chose, if the options name port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves until the shutdown has begun and the webhook has answered every review in flight.
    pub async fn run(self, shutdown: Shutdown) {
        tracing::info!(listen = %self.local_addr(), "listening for reviews");
        let first_token = async {
            if let Some((core, audience)) = &self.core {
                // The token source logs its failures.
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

/// Tries until there is a token. When all is installed together, Authority may start a second later.
async fn first_token(core: &RuntimeCore, audience: &str) {
    let tokens = core.tokens();
    while let Err(error) = tokens.token(audience).await {
        tokio::time::sleep(error.retry_after().unwrap_or(TOKEN_RETRY)).await;
    }
}
