//! An Authority and a Scanner in one process: what the quickstart embeds, and what the observer
//! and the webhook are tested against.
//!
//! It is as strict as the real ones, or tests against it would prove nothing. Authority takes
//! `client_credentials` from one client by certificate (RFC 8705), demands a DPoP proof with a
//! nonce (RFC 9449), and issues tokens of one audience that are bound to the proof's key. Scanner
//! takes a request only with such a token, a proof of the same key with a nonce of its own, and a
//! body that keeps every word of the contract. What a real server does when it is ill, a sandbox
//! does on demand: see [`Fault`], [`Sandbox::rotate_nonces`] and [`Sandbox::scanner_offline`].
//!
//! State is in memory and ends with the process, but for the certificates and keys in
//! [`SandboxOptions::directory`], which the next start takes up. Tokens do not outlive a restart.
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
//! // … start an observer here; wait until it got an event through …
//! # if false {
//! sandbox.wait_until(|counts, _events| counts.events_accepted > 0).await;
//! # }
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```

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
