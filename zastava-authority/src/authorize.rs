//! Attaches tokens and proofs to requests, and reads from the answers what to do next.

mod attempts;
mod challenge;
mod in_flight;
mod layer;
#[cfg(feature = "streams")]
mod replay_body;
#[cfg(feature = "streams")]
mod streams;

use std::fmt;
use std::sync::Arc;

use http::Uri;
use zastava_core::clock::{Clock, SystemClock};

pub use self::attempts::{Attempts, NextStep};
use self::in_flight::InFlight;
pub use self::layer::{Authorize, AuthorizeLayer};
#[cfg(feature = "streams")]
pub use self::replay_body::ReplayBody;
#[cfg(feature = "streams")]
pub use self::streams::{AuthorizeStreams, AuthorizeStreamsLayer};
use crate::conversation::Learned;
use crate::error::Error;
use crate::target_uri;
use crate::token::Tokens;

/// Attaches a token and a fresh proof to requests for one origin.
///
/// [`AuthorizeLayer`] does it for any tower service. Without tower, or for a body that cannot be
/// sent twice, call [`begin`](Self::begin) for each request; the [crate's first page](crate) shows
/// the loop.
///
/// It keeps the newest nonce of the origin and the offset of the server's clock, and answers three
/// kinds of refusal with another attempt:
///
/// * a nonce challenge, up to two times;
/// * `invalid_token`, once, with a new token;
/// * `invalid_dpop_proof`, once, with a proof dated by the other clock, if ours and the server's
///   differ.
///
/// Every other answer is the caller's. A request for another origin is refused before a token is
/// requested. A token that is not bound to a key is sent as `Bearer`, without a proof.
///
/// While nothing is known about the origin, the first request is sent alone: its answer brings the
/// nonce that all others need. A request that was challenged twice is sent alone as well, so that
/// its nonce is fresh however busy the server is. In a tokio runtime, with the feature `client`,
/// other requests wait a few seconds at most for these; the runtime must have its timers enabled.
/// Without it they wait until those requests are answered or dropped.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Authorizer(Arc<ResourceServer>);

/// The server that requests are sent to, and what is known about it.
struct ResourceServer {
    tokens: Tokens,
    audience: String,
    origin: Arc<str>,
    learned: Arc<Learned>,
    in_flight: InFlight,
    clock: Arc<dyn Clock>,
}

impl Authorizer {
    /// Attaches tokens for `audience` to requests for `origin`: its scheme, host and port. The path
    /// does not count.
    #[must_use]
    pub fn new(tokens: Tokens, audience: &str, origin: &Uri) -> Self {
        Self::with_clock(tokens, audience, origin, Arc::new(SystemClock))
    }

    /// Like [`Authorizer::new`], with another clock.
    #[must_use]
    pub fn with_clock(tokens: Tokens, audience: &str, origin: &Uri, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(ResourceServer {
            tokens,
            audience: audience.to_owned(),
            // A URI without an origin matches no request.
            origin: target_uri::origin(origin).unwrap_or_else(|| origin.to_string()).into(),
            learned: Arc::default(),
            in_flight: InFlight::default(),
            clock,
        }))
    }

    /// Begins one request, with as many attempts as it takes.
    #[must_use]
    pub fn begin(&self) -> Attempts {
        Attempts::new(&self.0)
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("audience", &self.0.audience)
            .field("origin", &self.0.origin)
            .finish_non_exhaustive()
    }
}

impl ResourceServer {
    /// RFC 9700 section 4.9: a token is sent to its audience and nowhere else.
    fn check_origin(&self, uri: &Uri) -> Result<(), Error> {
        if target_uri::is_within(uri, &self.origin) {
            return Ok(());
        }
        let found = target_uri::origin(uri).unwrap_or_default();
        Err(Error::ForeignOrigin { expected: self.origin.to_string(), found })
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer").field("origin", &self.origin).finish_non_exhaustive()
    }
}
