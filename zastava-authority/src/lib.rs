//! OpToks: short-lived OAuth 2.0 access tokens bound to a key (DPoP) or a certificate (mutual TLS).

mod dpop;
mod encoding;
mod error;
mod stubs;
mod target_uri;
mod token;
pub mod verify;

pub use self::dpop::{DpopKey, ProofRequest};
pub use self::error::Error;
pub use self::stubs::*;
pub use self::token::{OpTok, TokenSource, Tokens};
