//! The words that Zastava's parts share.
//!
//! * [`contract`]: what crosses the wire, to the letter: runtime events, admission decisions, the
//!   questions and answers of Scanner, schema versions, canonical JSON and its two hashes.
//! * [`image`]: image references and digests that cannot be wrong.
//! * [`config`]: one tree of settings from file, environment and flags; every fault at once, with
//!   its place. [`options`]: the settings that every part needs, already valid.
//! * [`scanner`]: a client of Scanner over any tower HTTP service.
//! * [`telemetry`]: the metric and log-scope names that operators know.
//! * [`clock`], [`secret`], [`no_token`]: time as a value, text that is not printed, the error of a
//!   request without a token. With default features off these are all there is.
//! * `program` (feature): what the two programs need around the library.
//!
//! Nothing here opens a socket, reads a file or needs an async runtime unless the feature
//! `program` is on. Kubernetes, containers and ELF are unknown here.
//!
//! ```
//! # #[cfg(feature = "platform")] {
//! use zastava_core::config::{Configuration, Origin};
//! use zastava_core::options::RuntimeOptions;
//!
//! let mut config = Configuration::empty();
//! config.set("zastava.runtime.tenant", "acme", &Origin::Flag("tenant".into()));
//! let faults = config.read(|root| RuntimeOptions::read(&root.section("runtime"))).unwrap_err();
//! assert!(faults.to_string().contains("zastava.runtime.authority.issuer: missing"));
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
#[cfg(feature = "platform")]
pub mod config;
#[cfg(feature = "platform")]
pub mod contract;
#[cfg(feature = "platform")]
pub mod http_service;
#[cfg(feature = "platform")]
pub mod image;
pub mod no_token;
#[cfg(feature = "platform")]
pub mod options;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "platform")]
pub mod scanner;
pub mod secret;
#[cfg(feature = "platform")]
pub mod telemetry;
mod text;
#[cfg(feature = "platform")]
pub mod vocabulary;
