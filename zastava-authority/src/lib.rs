//! OpToks: short-lived OAuth 2.0 access tokens bound to a key or a certificate.
//!
//! Without features, and without any async runtime:
//!
//! * [`AuthorizeLayer`]: a tower layer that attaches the token and a fresh proof (DPoP, RFC 9449) to
//!   every attempt; [`Authorizer`]: the same for those without tower. [`Tokens`] is where they get
//!   tokens from; [`TokenSource`] the seam.
//! * [`DpopKey`]: the key and its proofs; [`ProofSigner`]: signatures from elsewhere.
//! * [`verify`]: the server's side.
//!
//! With the feature `client`, which needs tokio:
//!
//! * `RuntimeCore`: everything from options: keys, certificates, tokens, a client of Scanner.
//! * `Authority`: tokens by `client_credentials`, with DPoP and mutual TLS (RFC 8705): requested
//!   once for all callers, refreshed before they end, kept through outages, never served past their
//!   end.
//! * `https`: an HTTP client with TLS, bounded in time and size.
//! * `invalidate_op_token`: what the operator's command does.
//!
//! Any tower HTTP service can stand below. Here a function is the API:
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{Request, Response, Uri};
//! use tower_layer::Layer as _;
//! use tower_service::Service as _;
//! use zastava_authority::{AuthorizeLayer, DpopKey, Error, OpTok, TokenFuture, TokenSource, Tokens};
//! use zastava_core::clock::Timestamp;
//! use zastava_core::secret::Secret;
//!
//! /// A token from somewhere.
//! #[derive(Debug)]
//! struct Fixed(Arc<DpopKey>);
//!
//! impl TokenSource for Fixed {
//!     fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
//!         let (token, expires_at) = (Secret::new("abc".into()), Timestamp::now());
//!         let token = OpTok::new(token, audience, expires_at, 1, Some(self.0.clone()));
//!         Box::pin(async { token.map(Arc::new) })
//!     }
//!     fn reject(&self, _: &OpTok) {}
//!     fn invalidate(&self, _: &str) -> usize { 0 }
//! }
//!
//! # #[derive(Clone)]
//! # struct Api;
//! # impl tower_service::Service<Request<()>> for Api {
//! #     type Response = Response<&'static str>;
//! #     type Error = Error;
//! #     type Future = std::future::Ready<Result<Self::Response, Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
//! #         std::task::Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, request: Request<()>) -> Self::Future {
//! #         assert_eq!(request.headers()["authorization"], "DPoP abc");
//! #         assert!(request.headers().contains_key("dpop"));
//! #         std::future::ready(Ok(Response::new("hello")))
//! #     }
//! # }
//! # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let tokens = Tokens::new(Fixed(Arc::new(DpopKey::generate())));
//! let mut api = AuthorizeLayer::new(tokens, "scanner", &Uri::from_static("https://api.example")).layer(Api);
//! let answer = api.call(Request::get("https://api.example/greeting").body(())?).await?;
//! assert_eq!(answer.into_body(), "hello");
//! # Ok(())
//! # }
//! # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
//! # assert!(matches!(std::pin::pin!(example()).poll(&mut cx), std::task::Poll::Ready(Ok(()))));
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
mod authority;
mod authorize;
#[cfg(feature = "client")]
mod cache_dir;
#[cfg(feature = "client")]
mod clock_reading;
#[cfg(feature = "client")]
mod control;
mod conversation;
mod dpop;
mod encoding;
mod error;
#[cfg(feature = "client")]
mod runtime;
mod small_file;
mod target_uri;
mod token;
#[cfg(feature = "client")]
mod transport;
pub mod verify;

#[cfg(feature = "client")]
pub use self::authority::Authority;
pub use self::authorize::{Attempts, Authorize, AuthorizeLayer, Authorizer, NextStep};
#[cfg(feature = "client")]
pub use self::control::{Invalidation, invalidate_op_token};
pub use self::dpop::{DpopKey, ProofRequest, ProofSigner, SignerError};
pub use self::error::Error;
#[cfg(feature = "client")]
pub use self::runtime::RuntimeCore;
pub use self::token::{OpTok, TokenFuture, TokenSource, Tokens};
#[cfg(feature = "client")]
pub use self::transport::{TransportOptions, https};
