//! Why a call of Docker Engine's API failed.

use std::path::PathBuf;

use http::StatusCode;

use crate::source::session::CallError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::source) enum ClientError {
    #[error("cannot connect to Docker Engine at {}", socket.display())]
    Connect { socket: PathBuf, source: std::io::Error },
    #[error("the connection to Docker Engine failed during {call}")]
    Connection { call: &'static str, source: hyper::Error },
    #[error("Docker Engine refused {call} with status {status}: {message}")]
    Refused { call: &'static str, status: StatusCode, message: String },
    #[error("Docker Engine did not answer {call} in time")]
    TimedOut { call: &'static str },
    #[error("the answer of Docker Engine to {call} has more than {bytes_max} bytes")]
    TooLong { call: &'static str, bytes_max: usize },
    #[error("the answer of Docker Engine to {call} is not what its API describes")]
    NotUnderstood { call: &'static str, source: serde_json::Error },
}

impl CallError for ClientError {}

impl ClientError {
    /// Whether this costs one container a fact. Other failures are of the engine.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { call: CONTAINER | IMAGE }
                | Self::Refused { call: CONTAINER | IMAGE, .. }
                | Self::TooLong { call: CONTAINER | IMAGE, .. }
                | Self::NotUnderstood { call: CONTAINER | IMAGE, .. }
        )
    }
}

pub(super) const VERSION: &str = "GET /version";
pub(super) const LIST: &str = "GET /containers/json";
pub(super) const CONTAINER: &str = "GET /containers/{id}/json";
pub(super) const IMAGE: &str = "GET /images/{id}/json";
pub(super) const EVENTS: &str = "GET /events";
