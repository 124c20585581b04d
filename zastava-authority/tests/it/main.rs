//! Tests through the public door.

mod cache;
mod key;
mod layer;
mod oidc;
mod proof;
mod runtime;
mod secrets;
mod support;
mod tokens;
mod transport;
