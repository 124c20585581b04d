//! OpToks: short-lived OAuth 2.0 access tokens bound to a key or a certificate.
//!
//! * [`RuntimeCore`]: everything from options: keys, certificates, tokens, a client of Scanner.
//! * [`Authority`]: tokens by `client_credentials`, with DPoP (RFC 9449) and mutual TLS (RFC 8705):
//!   requested once for all callers, refreshed before they end, kept through outages, never served
//!   past their end. [`Tokens`] is the handle that others take; [`TokenSource`] the seam.
//! * [`AuthorizeLayer`]: a tower layer that attaches the token and a fresh proof to every attempt.
//! * [`DpopKey`]: the key and its proofs. [`verify`]: the server's side.
//! * [`https`]: an HTTP client with TLS, bounded in time and size.
//! * [`invalidate_op_token`]: what the operator's command does.
//!
//! Any tower HTTP service can stand below. Here a function is both servers:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, Uri};
//! use tower::{Layer as _, Service as _};
//! use zastava_authority::{Authority, AuthorizeLayer, DpopKey, Tokens};
//! use zastava_core::config::{Config, Origin};
//! use zastava_core::http_service::{BoxError, HttpService};
//! use zastava_core::options::AuthorityOptions;
//! use zastava_core::telemetry::Telemetry;
//!
//! # fn main() -> Result<(), BoxError> {
//! # let mut config = Config::empty();
//! # let flag = Origin::Flag("example".into());
//! # config.set("zastava.issuer", "https://authority.example", &flag);
//! # config.set("zastava.requireMutualTls", "false", &flag);
//! # let (options, _) = config.read(AuthorityOptions::read)?;
//! let http = HttpService::new(tower::service_fn(|request: Request<Bytes>| async move {
//!     assert!(request.headers().contains_key("dpop"));
//!     let body = match request.uri().path() {
//!         "/token" => r#"{"access_token":"abc","token_type":"DPoP","expires_in":120}"#,
//!         _ => "hello",
//!     };
//!     Ok::<_, BoxError>(Response::new(Bytes::from(body)))
//! # }));
//! # let http = without_discovery(http);
//! let key = Arc::new(DpopKey::generate());
//! let tokens = Tokens::new(Authority::new(&options, http.clone(), key.clone(), &Telemetry::detached()));
//! let origin = Uri::from_static("https://api.example");
//! let mut api = AuthorizeLayer::new(tokens, key, "scanner", &origin).layer(http);
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let request = Request::get("https://api.example/greeting").body(Bytes::new())?;
//! assert_eq!(api.call(request).await?.body(), "hello");
//! # Ok::<_, BoxError>(()) })?;
//! # Ok(())
//! # }
//! # fn without_discovery(inner: HttpService) -> HttpService {
//! #     HttpService::new(tower::service_fn(move |request: Request<Bytes>| {
//! #         let mut inner = inner.clone();
//! #         async move {
//! #             if request.uri().path().starts_with("/.well-known/") {
//! #                 return Ok(Response::builder().status(404).body(Bytes::new())?);
//! #             }
//! #             inner.call(request).await
//! #         }
//! #     }))
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod authority;
mod authorize;
mod cache_dir;
mod control;
mod dpop;
mod encoding;
mod error;
mod nonce;
mod runtime;
mod target_uri;
mod token;
mod transport;
pub mod verify;

pub use self::authority::Authority;
pub use self::authorize::{Authorize, AuthorizeLayer};
pub use self::control::{Invalidation, invalidate_op_token};
pub use self::dpop::{DpopKey, ProofRequest};
pub use self::error::Error;
pub use self::runtime::RuntimeCore;
pub use self::token::{OpTok, TokenSource, Tokens};
pub use self::transport::{TransportOptions, https};
