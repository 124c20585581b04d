//! The one shape of HTTP that crosses crate borders.
//!
//! Every request and every answer of Zastava is small and bounded, so bodies are whole `Bytes`: a
//! request can be sent again by cloning it, and no caller handles a half-read body. Whoever makes
//! the service bounds the answer's size and the time it takes.

use bytes::Bytes;

/// What can go wrong below: connection, TLS, time-out, a body past its bound, no token
/// ([`NoToken`](crate::no_token::NoToken)).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A finished HTTP client: boxed, cloneable, any tower service below.
pub type HttpService =
    tower::util::BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>;
