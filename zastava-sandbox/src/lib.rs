//! An Authority and a Scanner in one process: what the quickstart embeds, and what the observer
//! and the webhook are tested against.
//!
//! It is as strict as the real servers. Authority issues tokens by `client_credentials` to one
//! client, which it authenticates by certificate (RFC 8705). It requires a DPoP proof with a nonce
//! (RFC 9449), and binds each token to the proof's key. Scanner accepts only a request with such a
//! token, a proof of the same key with a nonce of its own, and a body that follows the contract.
//!
//! On demand it fails as a real server may fail: see [`Fault`], [`Sandbox::rotate_nonces`] and
//! [`Sandbox::scanner_offline`].
//!
//! ```
//! use zastava_sandbox::{Fault, FaultKind, Route, Sandbox, SandboxOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().join("sandbox");
//! let sandbox = Sandbox::start(SandboxOptions::new(&directory)).await?;
//! std::fs::write(directory.join("zastava.yaml"), sandbox.configuration("acme"))?;
//!
//! // Scanner answers the next two batches with 503.
//! let kind = FaultKind::Status { status: 503, retry_after: Some(1) };
//! sandbox.misbehave(Fault { route: Route::Events, kind, times: 2 });
//! // Start an observer here, and wait until an event has arrived.
//! # if false {
//! sandbox.wait_until(|counts, _events| counts.events_accepted > 0).await;
//! # }
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # State
//!
//! Everything is in memory and ends with the process, except for the certificates and keys in
//! [`SandboxOptions::directory`], which the next start reuses. Tokens do not outlive a restart.
//!
//! # Errors
//!
//! [`Error`] says why a sandbox does not start: a directory, a port or a certificate. What clients
//! do wrong is answered over HTTP, and counted in [`Counts`].
//!
//! # What it does not do
//!
//! It is not a server for production: whoever reaches Scanner's port controls the sandbox. It has no
//! rate limit and one client. To check proofs in a server of your own, use
//! [`zastava_authority::verify`]. For a complete OpenID provider in tests, use `oidc-provider`.
//!
//! # Stability
//!
//! Before 1.0 a minor version may break the API. The oldest supported Rust is 1.95. There are no
//! features.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod access_token;
mod activity;
mod answer;
mod authority;
mod certificates;
mod configuration;
mod counts;
mod error;
mod fault;
mod files;
mod options;
mod outage;
mod platform;
mod policy;
mod received;
mod sandbox;
mod scanner;
mod server;

pub use counts::Counts;
pub use error::Error;
pub use fault::{Fault, FaultKind, Route};
pub use files::Files;
pub use options::{SandboxOptions, ServerIdentity};
pub use policy::Policy;
pub use sandbox::Sandbox;

/// The example in the README, kept true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
