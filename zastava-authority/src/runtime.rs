//! Everything a program needs to talk to Scanner, from its options.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower::{Layer as _, Service as _, ServiceExt as _};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::{AuthorityOptions, BackendOptions, RuntimeOptions};
use zastava_core::scanner::ScannerClient;
use zastava_core::telemetry::Telemetry;

use crate::authority::Authority;
use crate::authorize::AuthorizeLayer;
use crate::control;
use crate::dpop::DpopKey;
use crate::error::Error;
use crate::token::Tokens;
use crate::transport::{TransportOptions, https};

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
    key: Arc<DpopKey>,
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
        let authority_options = &options.authority;
        let key = Arc::new(match &authority_options.dpop_key_path {
            Some(path) => DpopKey::from_file(path)?,
            None => DpopKey::generate(),
        });
        let (to_authority, to_scanner) = transports(authority_options, backend)?;
        let authority = Authority::new(authority_options, to_authority, Arc::clone(&key), telemetry);
        control::listen(&authority, &authority_options.cache_dir);
        authority.start(&authority_options.audience)?;

        let tokens = Tokens::new(authority.clone());
        let layer =
            AuthorizeLayer::new(tokens, Arc::clone(&key), &authority_options.audience, &backend.base_address);
        let http = within(backend.request_timeout, HttpService::new(layer.layer(to_scanner)));
        Ok(Self {
            scanner: ScannerClient::new(http, backend, telemetry),
            authority,
            key,
            require_dpop: authority_options.require_dpop,
            mutual_tls: authority_options.client_certificate_path.is_some(),
            static_token_allowed: authority_options.static_token.is_some(),
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

    /// The key that the tokens are bound to.
    #[must_use]
    pub fn dpop_key(&self) -> Arc<DpopKey> {
        Arc::clone(&self.key)
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
            "thumbprint": self.key.thumbprint(),
            "tokens": self.authority.status(),
        })
    }
}

/// The clients of Authority and Scanner. They show the same certificate, as tokens that are bound
/// to it demand (RFC 8705 section 3).
fn transports(
    authority: &AuthorityOptions,
    backend: &BackendOptions,
) -> Result<(HttpService, HttpService), Error> {
    let identity = authority.client_certificate_path.clone().zip(authority.client_key_path.clone());
    let to_authority = TransportOptions {
        ca_bundle_path: authority.ca_bundle_path.clone(),
        client_identity: identity,
        request_timeout: authority.request_timeout,
        allow_http: authority.allow_insecure_http,
        ..TransportOptions::default()
    };
    let to_scanner = TransportOptions {
        ca_bundle_path: backend.ca_bundle_path.clone().or_else(|| authority.ca_bundle_path.clone()),
        request_timeout: backend.request_timeout,
        // Reading the options refused http unless the backend's own lab switch is on.
        allow_http: backend.base_address.scheme_str() == Some("http"),
        ..to_authority.clone()
    };
    Ok((https(&to_authority)?, https(&to_scanner)?))
}

/// The time-out holds for a request as a whole: its token, and every attempt.
fn within(limit: Duration, service: HttpService) -> HttpService {
    HttpService::new(tower::service_fn(move |request: Request<Bytes>| {
        let mut service = service.clone();
        async move {
            let exchange = async { service.ready().await?.call(request).await };
            let answer: Result<Result<Response<Bytes>, BoxError>, _> =
                tokio::time::timeout(limit, exchange).await;
            answer.unwrap_or_else(|_| Err(Error::Timeout { after: limit }.into()))
        }
    }))
}
