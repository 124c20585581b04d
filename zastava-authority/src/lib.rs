//! OpToks: short-lived OAuth 2.0 access tokens, bound to a key (DPoP, RFC 9449) or to a client
//! certificate (mutual TLS, RFC 8705).
//!
//! A client gets such tokens by `client_credentials`, keeps them fresh and attaches them, each with a
//! new proof, to its requests. A server checks them.
//!
//! # Call an API, with tower
//!
//! [`AuthorizeLayer`] attaches a token and a proof to every attempt. It learns the server's nonces and
//! clock, and sends a refused request again if another attempt can succeed. It wraps any
//! `Service<http::Request<B>>`: hyper's client, a tonic channel, or `https`, the HTTP client of this
//! crate. `Authority` is the source of the tokens:
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example(options: zastava_core::options::AuthorityOptions) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use bytes::Bytes;
//! use http::{Request, Uri};
//! use tower::{Layer as _, Service as _};
//! use zastava_authority::{Authority, AuthorizeLayer, Tokens, TransportOptions};
//! use zastava_core::telemetry::Telemetry;
//!
//! // The options name the issuer, the client, its keys and certificates.
//! let authority = Authority::connect(&options, &Telemetry::detached())?;
//! let http = authority.https(&TransportOptions::default())?;
//! let origin = Uri::from_static("https://api.example");
//! let mut api = AuthorizeLayer::new(Tokens::new(authority), "orders", &origin).layer(http);
//!
//! let answer = api.call(Request::get("https://api.example/orders").body(Bytes::new())?).await?;
//! assert_eq!(answer.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! `cargo run --example call_api` in the repository runs this against a real server. `RuntimeCore` does
//! the same from the options of a Zastava program.
//!
//! # Call an API, with hyper
//!
//! hyper's client is a tower service, and the layer goes around it. The layer must be the one that sends
//! requests again: below it, a retry would replay a proof. `cargo run --example call_with_hyper` adds TLS
//! and follows the client certificate.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example(tokens: zastava_authority::Tokens) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use bytes::Bytes;
//! use http::{Request, Uri};
//! use http_body_util::Full;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use tower::{Layer as _, ServiceExt as _};
//! use zastava_authority::AuthorizeLayer;
//!
//! let hyper = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
//! let api = AuthorizeLayer::new(tokens, "orders", &Uri::from_static("http://127.0.0.1:8080")).layer(hyper);
//!
//! let request = Request::get("http://127.0.0.1:8080/orders").body(Full::<Bytes>::default())?;
//! assert_eq!(api.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! A body that cannot be cloned, such as tonic's, needs `AuthorizeStreamsLayer` (feature `streams`), which
//! records what it sends.
//!
//! # Call an API, with another client
//!
//! [`Authorizer`] does the work of the layer for a client that is not a tower service, such as
//! reqwest. `attach` sets the headers of an attempt, and `observe` says what to do after the answer.
//! Tokens can come from anywhere: [`TokenSource`] is the interface.
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{Request, StatusCode, Uri};
//! use zastava_authority::{Authorizer, DpopKey, Error, NextStep, OpTok, TokenFuture, TokenSource, Tokens};
//! use zastava_core::clock::Timestamp;
//! use zastava_core::secret::Secret;
//!
//! /// A token from somewhere else.
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
//! # /// Demands a nonce, as a server would.
//! # struct Client(std::cell::Cell<u32>);
//! # impl Client {
//! #     async fn execute(&self, request: Request<&str>) -> http::Response<&'static str> {
//! #         assert_eq!(request.headers()["authorization"], "DPoP abc");
//! #         assert!(request.headers().contains_key("dpop"));
//! #         self.0.set(self.0.get() + 1);
//! #         let mut answer = http::Response::new("hello");
//! #         if self.0.get() == 1 {
//! #             *answer.status_mut() = StatusCode::UNAUTHORIZED;
//! #             answer.headers_mut().insert("www-authenticate", "DPoP error=use_dpop_nonce".parse().unwrap());
//! #             answer.headers_mut().insert("dpop-nonce", "n".parse().unwrap());
//! #         }
//! #         answer
//! #     }
//! # }
//! # async fn example(client: Client) -> Result<(), Error> {
//! let tokens = Tokens::new(Fixed(Arc::new(DpopKey::generate())));
//! let api = Authorizer::new(tokens, "orders", &Uri::from_static("https://api.example"));
//!
//! let (mut parts, body) = Request::get("https://api.example/orders").body("").unwrap().into_parts();
//! let mut attempts = api.begin();
//! let answer = loop {
//!     attempts.attach(&mut parts).await?;
//!     let answer = client.execute(Request::from_parts(parts.clone(), body)).await;
//!     if attempts.observe(answer.status(), answer.headers()) == NextStep::Done {
//!         break answer;
//!     }
//! };
//! assert_eq!((answer.status(), client.0.get()), (StatusCode::OK, 2));
//! # Ok(())
//! # }
//! # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
//! # let example = std::pin::pin!(example(Client(0.into())));
//! # assert!(matches!(example.poll(&mut cx), std::task::Poll::Ready(Ok(()))));
//! ```
//!
//! # Be the API
//!
//! [`Verifier::authorize`](verify::Verifier::authorize) decides whether a request may be served: the
//! scheme, the token, the certificate and the proof (RFC 9449 section 7). The token's own check is the
//! caller's: a signature, or an introspection.
//!
//! ```
//! use http::{HeaderMap, Method, Uri};
//! use zastava_authority::verify::{Confirmation, Denial, ReceivedRequest, Verifier, VerifierOptions};
//! use zastava_authority::{DpopKey, ProofRequest};
//! use zastava_core::clock::Timestamp;
//!
//! let (verifier, now) = (Verifier::new(VerifierOptions::default()), Timestamp::now());
//! # let key = DpopKey::generate();
//! # let bound_to = key.thumbprint().to_owned();
//! // Whom the token is for, and which key it is bound to: the claim `cnf.jkt`. A token that must be
//! // asked about elsewhere is read by `authorize_async`.
//! let read_token = |token: &str| {
//!     let confirmation = Confirmation { key: Some(bound_to.clone()), certificate: None };
//!     if token == "abc" { Ok((confirmation, "a user")) } else { Err(Denial::Token) }
//! };
//!
//! # let (method, uri) = (Method::GET, Uri::from_static("https://api.example/orders"));
//! # let request = |nonce: Option<&str>| {
//! #     let proof = ProofRequest { method: &method, uri: &uri, access_token: Some("abc"), nonce, issued_at: now };
//! #     let mut headers = HeaderMap::new();
//! #     headers.insert("authorization", "DPoP abc".parse().unwrap());
//! #     headers.insert("dpop", key.proof(&proof).unwrap().parse().unwrap());
//! #     headers
//! # };
//! # let headers = request(None);
//! let received = ReceivedRequest { method: &method, uri: &uri, headers: &headers, client_certificate: None };
//! let denial: Denial = verifier.authorize(&received, now, read_token).unwrap_err();
//! // The first request has no nonce. The answer brings one.
//! let mut answer = http::Response::builder()
//!     .status(denial.status())
//!     .header("www-authenticate", denial.challenge_for(&headers))
//!     .body(())
//!     .unwrap();
//! verifier.set_nonce(answer.headers_mut(), now);
//! assert_eq!(answer.status(), 401);
//!
//! # let headers = request(answer.headers()["dpop-nonce"].to_str().ok());
//! # let received = ReceivedRequest { headers: &headers, ..received };
//! assert_eq!(verifier.authorize(&received, now, read_token), Ok("a user"));
//! ```
//!
//! # Features
//!
//! | feature | adds | normal dependencies |
//! | --- | --- | --- |
//! | none | keys, proofs, [`AuthorizeLayer`], [`Authorizer`], [`verify`]; no async runtime | 60 |
//! | `streams` | `AuthorizeStreamsLayer`, for bodies that cannot be cloned | 61 |
//! | `client` | `Authority`, `https`, `RuntimeCore`, `invalidate_op_token`; signatures by the TLS library (rustls with aws-lc-rs). Needs tokio | 107 |
//!
//! # Errors
//!
//! [`Error`] is the only error type. [`Error::is_configuration`] says that an operator must change
//! something, [`Error::retry_after`] when to ask again, [`Error::oauth_code`] what the server answered.
//! No error holds a token, a proof or bytes of a file. What a server wrote is shown as far as it cannot be
//! a credential. [`Error::Claim`] says that a token contradicts what was asked for, and what to change. The
//! layer returns
//! [`NoToken`](zastava_core::no_token::NoToken), with an [`Error`] as its source, when a request was not
//! sent for lack of a token; that is a fault of Authority, not of the API.
//!
//! # What it does not do
//!
//! * Users: there is no authorization code flow, no refresh token and no ID token. `openidconnect` and
//!   `oauth2` have them.
//! * Algorithms other than ES256, and FAPI message signing: `huskarl` has more.
//! * Check access tokens: `jsonwebtoken` does, inside `read_token`. `verify::TokenKey` is for tests.
//! * Tokens of a cloud's own metadata service: `google-cloud-auth`, `azure_identity`, `aws-config`.
//!
//! # Stability
//!
//! Before 1.0 a minor version may break the API. The oldest supported Rust is 1.95; raising it is a
//! minor version. Public signatures use types of `http`, `bytes`, `tower`, `serde_json`, std and
//! `zastava-core` only.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
mod authority;
mod authorize;
#[cfg(feature = "client")]
mod cache_dir;
#[cfg(feature = "client")]
mod client_identity;
#[cfg(feature = "client")]
mod clock_reading;
#[cfg(feature = "client")]
mod control;
mod conversation;
mod dpop;
mod encoding;
mod error;
mod foreign;
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
#[cfg(feature = "streams")]
pub use self::authorize::{AuthorizeStreams, AuthorizeStreamsLayer, ReplayBody};
#[cfg(feature = "client")]
pub use self::client_identity::{ClientIdentity, certificate_of};
#[cfg(feature = "client")]
pub use self::control::{Invalidation, invalidate_op_token};
pub use self::dpop::{DpopKey, ProofRequest, ProofSigner, SignerError};
pub use self::error::{Asked, Error};
#[cfg(feature = "client")]
pub use self::runtime::RuntimeCore;
pub use self::token::{OpTok, TokenFuture, TokenSource, Tokens};
#[cfg(feature = "client")]
pub use self::transport::{ProxyOptions, TransportOptions, https};

/// The example in the README, kept true.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
