//! Everything a program needs to talk to Scanner, from its options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower::{Service as _, ServiceExt as _};
use tower_layer::Layer as _;
use zastava_core::http_service::{BoxError, HttpService, NoToken};
use zastava_core::options::{BackendOptions, RuntimeOptions};
use zastava_core::scanner::ScannerClient;
use zastava_core::telemetry::Telemetry;

use crate::authority::Authority;
use crate::authorize::AuthorizeLayer;
use crate::control;
use crate::dpop::DpopKey;
use crate::error::Error;
use crate::token::{TokenSource as _, Tokens};
use crate::transport::TransportOptions;

/// A Scanner client with tokens from Authority; what the runbook calls `AddZastavaRuntimeCore`.
///
/// Keeps a token fresh and listens for [`invalidate_op_token`] until the last clone and the last
/// handle from it are dropped.
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
    /// Reads keys and certificates, and starts to get the first token. Connects lazily: an outage
    /// of Authority or Scanner is no error here.
    ///
    /// # Errors
    /// A file that cannot be used; see [`Error::is_configuration`].
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
            // Reading the options refused http unless the backend's own lab switch is on.
            allow_http: backend.base_address.scheme_str() == Some("http"),
            ..TransportOptions::default()
        })?;
        control::listen(&authority, &options.cache_dir);
        authority.start(&options.audience)?;

        let tokens = Tokens::new(authority.clone());
        let layer = AuthorizeLayer::new(tokens, &options.audience, &backend.base_address);
        let service = HttpService::new(layer.layer(to_scanner.map_request(Sent::mark)));
        let http = within(backend.request_timeout, &authority, &options.audience, service);
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

    /// The tokens, for other services of the same installation.
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

/// Whether a request got as far as the connection: what fails before that is no fault of Scanner's.
#[derive(Clone, Debug, Default)]
struct Sent(Arc<AtomicBool>);

impl Sent {
    fn mark(request: Request<Bytes>) -> Request<Bytes> {
        if let Some(Self(sent)) = request.extensions().get() {
            sent.store(true, Ordering::Relaxed);
        }
        request
    }
}

/// The time-out holds for a request as a whole: its token, and every attempt. A request that was
/// never sent for want of a token fails with [`NoToken`].
fn within(limit: Duration, authority: &Authority, audience: &str, service: HttpService) -> HttpService {
    let authority = authority.clone();
    let audience: Arc<str> = audience.into();
    HttpService::new(tower::service_fn(move |mut request: Request<Bytes>| {
        let (mut service, authority, audience) = (service.clone(), authority.clone(), Arc::clone(&audience));
        let sent = Sent::default();
        request.extensions_mut().insert(sent.clone());
        async move {
            let exchange = async { service.ready().await?.call(request).await };
            let answer: Result<Result<Response<Bytes>, BoxError>, _> =
                tokio::time::timeout(limit, exchange).await;
            answer.unwrap_or_else(|_| Err(Error::Timeout { after: limit }.into())).map_err(|error| {
                // One that has a token waits for the first to be answered: by Scanner.
                let waits_for_token = || authority.at_hand(&audience).is_none();
                if !sent.0.load(Ordering::Relaxed) && waits_for_token() {
                    NoToken(error).into()
                } else {
                    error
                }
            })
        }
    }))
}
