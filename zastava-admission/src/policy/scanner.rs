//! Scanner as a policy source.

use std::io;

use async_trait::async_trait;
use zastava_core::contract::{PolicyRequest, PolicyResponse};
use zastava_core::http_service::BoxError;
use zastava_core::scanner::{ScannerClient, ScannerError};

use super::PolicySource;

#[async_trait]
impl PolicySource for ScannerClient {
    /// Asks a second time when the connection was cut: Scanner may have restarted behind a
    /// connection that was kept open. There is no third time, so that an overloaded Scanner is not
    /// asked ever more often.
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
        let reset = |error: &io::Error| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
        };
        let closed = |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled();
        cause.downcast_ref().is_some_and(reset) || cause.downcast_ref().is_some_and(closed)
    })
}
