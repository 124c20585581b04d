//! Everything that a program needs to talk to Scanner, from its options.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tower::{Service as _, ServiceExt as _};
use tower_layer::Layer as _;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::no_token::NoToken;
use zastava_core::options::{BackendOptions, RuntimeOptions};
use zastava_core::scanner::ScannerClient;
use zastava_core::telemetry::Telemetry;

use crate::authority::Authority;
use crate::authorize::AuthorizeLayer;
use crate::dpop::DpopKey;
use crate::error::Error;
use crate::target_uri;
use crate::token::Tokens;
use crate::transport::TransportOptions;

/// A Scanner client with tokens from Authority. The runbook calls it `AddZastavaRuntimeCore`.
///
/// Keeps a token fresh and listens for [`invalidate_op_token`] until its last clone, and the last
/// handle that was made from it, are dropped.
///
/// [`invalidate_op_token`]: crate::invalidate_op_token
#[derive(Clone, Debug)]
pub struct RuntimeCore {
    authority: Authority,
    scanner: ScannerClient,
    require_dpop: bool,
    mutual_tls: bool,
    static_token_allowed: bool,
}

impl RuntimeCore {
    /// Reads keys and certificates, and starts to request the first token. It connects lazily, so an
    /// outage of Authority or Scanner is not an error here.
    ///
    /// # Errors
    /// A file cannot be used; see [`Error::is_configuration`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect(
        options: &RuntimeOptions,
        backend: &BackendOptions,
        telemetry: &Telemetry,
    ) -> Result<Self, Error> {
        let options = &options.authority;
        let authority = Authority::connect(options, telemetry)?;
        let to_scanner = authority.https(&TransportOptions {
            ca_bundle_path: backend.ca_bundle_path.clone().or_else(|| options.ca_bundle_path.clone()),
            request_timeout: backend.request_timeout,
            // The options were refused if they name http and the backend's lab switch is off.
            allow_http: backend.base_address.scheme_str() == Some("http"),
            ..TransportOptions::default()
        })?;
        authority.listen_for_invalidation();
        authority.start(&options.audience)?;

        let tokens = Tokens::new(authority.clone());
        let layer = AuthorizeLayer::new(tokens.clone(), &options.audience, &backend.base_address);
        let service = HttpService::new(layer.layer(to_scanner));
        let http = within(backend.request_timeout, tokens, &options.audience, service);
        Ok(Self {
            scanner: ScannerClient::new(http, backend, telemetry),
            authority,
            require_dpop: options.require_dpop,
            mutual_tls: options.client_certificate_path.is_some(),
            static_token_allowed: options.static_token.is_some(),
        })
    }

    /// The client of Scanner.
    #[must_use]
    pub fn scanner(&self) -> ScannerClient {
        self.scanner.clone()
    }

    /// The token source, for requests to other services of the same installation.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.authority.clone())
    }

    /// The key that new tokens are bound to.
    #[must_use]
    pub fn dpop_key(&self) -> Arc<DpopKey> {
        self.authority.dpop_key()
    }

    /// The state of tokens for `/status`, without secrets: `requireDpop`, `mutualTls`,
    /// `staticTokenAllowed`, `thumbprint`, and in `tokens` for each audience its `state` (`valid`,
    /// `pending`, `unavailable`) with times and the last error.
    #[must_use]
    pub fn status(&self) -> Value {
        json!({
            "requireDpop": self.require_dpop,
            "mutualTls": self.mutual_tls,
            "staticTokenAllowed": self.static_token_allowed,
            "thumbprint": self.authority.dpop_key().thumbprint(),
            "tokens": self.authority.status(),
        })
    }
}

/// Limits the time of a request as a whole: the wait for its token, and every attempt.
///
/// The token comes first and by itself, so that a timeout has one cause: before there is a token it
/// is [`NoToken`], afterwards it is the server that does not answer.
fn within(limit: Duration, tokens: Tokens, audience: &str, service: HttpService) -> HttpService {
    let audience: Arc<str> = audience.into();
    HttpService::new(tower::service_fn(move |request: Request<Bytes>| {
        let (mut service, tokens, audience) = (service.clone(), tokens.clone(), Arc::clone(&audience));
        async move {
            let deadline = Instant::now() + limit;
            let uri = request.uri().clone();
            let timeout = || Error::Timeout { url: target_uri::shown(&uri), after: limit };
            let token = timeout_at(deadline, tokens.token(&audience)).await;
            token.unwrap_or_else(|_| Err(timeout())).map_err(|error| NoToken(error.into()))?;
            let exchange = async { service.ready().await?.call(request).await };
            timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(BoxError::from(timeout())))
        }
    }))
}
