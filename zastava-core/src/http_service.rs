//! The HTTP client type that all crates accept.
//!
//! All requests and responses are small and bounded, so bodies are whole `Bytes`.
//! Whoever builds the service must bound the size of a response and the time of a request.
// docs/design/family.md#why-does-http-take-and-return-whole-bytes

use bytes::Bytes;

/// An error of the service: connection, TLS, time-out, a response that is too large, or no token
/// ([`NoToken`](crate::no_token::NoToken)).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A complete HTTP client: any tower service, boxed and cloneable.
pub type HttpService =
    tower::util::BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>;
