//! Why a call of CRI failed.

use std::path::PathBuf;

use tonic::{Code, Status};

use crate::source::session::CallError;

pub(super) const STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
pub(super) const IMAGE: &str = "/runtime.v1.ImageService/ImageStatus";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::source) enum ClientError {
    #[error("cannot connect to CRI-O at {}", socket.display())]
    Connect { socket: PathBuf, source: tonic::transport::Error },
    #[error("CRI-O refused {method} ({code:?})")]
    Call { method: &'static str, code: Code, source: Box<Status> },
    #[error("CRI-O did not answer {method} in time")]
    TimedOut { method: &'static str },
    #[error("{name:?} answers at {}, and not CRI-O", socket.display())]
    Other { socket: PathBuf, name: String },
}

impl CallError for ClientError {}

impl ClientError {
    /// Whether this costs one container a fact. Other failures are of the engine.
    pub(super) fn is_of_one(&self) -> bool {
        match self {
            Self::Call { method, code, .. } => is_look_up(method) && *code != Code::Unavailable,
            Self::TimedOut { method } => is_look_up(method),
            Self::Connect { .. } | Self::Other { .. } => false,
        }
    }
}

fn is_look_up(method: &str) -> bool {
    [STATUS, IMAGE].contains(&method)
}

pub(super) fn refused(method: &'static str, status: Status) -> ClientError {
    ClientError::Call { method, code: status.code(), source: Box::new(status) }
}
