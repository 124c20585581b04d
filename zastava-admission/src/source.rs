//! Where verdicts come from.

use std::fmt;
use std::io::ErrorKind;

use async_trait::async_trait;
use zastava_core::contract::{PolicyRequest, PolicyResponse};
use zastava_core::http_service::BoxError;
use zastava_core::scanner::{ScannerClient, ScannerError};

/// Judges images: Scanner, or whatever an embedder has.
///
/// Called from many reviews at once, at most once for each. A call may be dropped at any await,
/// when the review's time is up.
#[async_trait]
pub trait PolicySource: Send + Sync + fmt::Debug {
    /// A verdict on every image of the request. An image that the answer leaves out, like an
    /// error, counts as no verdict.
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError>;
}

#[async_trait]
impl PolicySource for ScannerClient {
    /// Asks once more when the connection was cut: Scanner may have restarted behind a connection
    /// that was kept open. Only once, and only while the review has time: an overloaded Scanner
    /// must not be asked twice as often.
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
        match Self::policy(self, request).await {
            Err(error) if was_cut(&error) => Ok(Self::policy(self, request).await?),
            answer => Ok(answer?),
        }
    }
}

fn was_cut(error: &ScannerError) -> bool {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source()).any(|cause| {
        let reset = |error: &std::io::Error| {
            use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
        };
        let closed = |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled();
        cause.downcast_ref().is_some_and(reset) || cause.downcast_ref().is_some_and(closed)
    })
}
