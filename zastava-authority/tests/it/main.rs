//! Tests through the public API. Whatever needs no feature is also tested without any.
#![allow(clippy::print_stdout, reason = "figures are shown with --nocapture")]

mod access;
mod bare;
#[cfg(feature = "client")]
mod client;
mod draft;
mod key;
mod nonce;
mod proof;
mod replay;
