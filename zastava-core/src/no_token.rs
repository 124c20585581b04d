//! The error of a request that had no access token.

/// A request was not sent, because there was no access token to send with it.
///
/// A service that attaches tokens returns this error in a box, with the reason as its source. The
/// Scanner client of this crate recognises it and reports that Scanner was not asked: the fault
/// lies with Authority, or on the way there.
#[derive(Debug, thiserror::Error)]
#[error("no token from authority")]
pub struct NoToken(#[source] pub Box<dyn std::error::Error + Send + Sync>);
