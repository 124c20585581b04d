//! Tests through the public door. What needs no feature is tested without any, too.
#![allow(clippy::print_stdout, reason = "figures are for whoever asks with --nocapture")]

mod access;
mod bare;
#[cfg(feature = "client")]
mod cache;
mod key;
#[cfg(feature = "client")]
mod layer;
#[cfg(feature = "client")]
mod oidc;
#[cfg(feature = "client")]
mod processes;
mod proof;
#[cfg(feature = "client")]
mod runtime;
#[cfg(feature = "client")]
mod secrets;
#[cfg(feature = "client")]
mod support;
#[cfg(feature = "client")]
mod tokens;
#[cfg(feature = "client")]
mod transport;
