//! Reads bodies. Each is bounded, and so are all of them together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bodies of the largest size may be in memory at once.
const BODIES_MAX: usize = 8;

/// Reads bodies.
#[derive(Clone, Debug)]
pub(super) struct BodyReader {
    bytes_max: usize,
    memory: Arc<Semaphore>,
}

/// A complete body. Gives its share of the memory back when it is dropped.
#[derive(Debug)]
pub(super) struct CompleteBody {
    pub(super) bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, memory: Arc::new(Semaphore::new(bytes_max.saturating_mul(BODIES_MAX))) }
    }

    /// The complete body, or the status to answer with.
    pub(super) async fn read(&self, body: Incoming) -> Result<CompleteBody, StatusCode> {
        if body.size_hint().lower() > self.bytes_max as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, self.collect(body));
        read.await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
    }

    async fn collect(&self, mut body: Incoming) -> Result<CompleteBody, StatusCode> {
        let mut complete = CompleteBody { bytes: Vec::new(), memory: None };
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            if complete.bytes.len() + data.len() > self.bytes_max {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            complete.add(&data, self.reserve(data.len())?);
        }
        Ok(complete)
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StatusCode> {
        let permits = u32::try_from(bytes).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(permits);
        permit.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl CompleteBody {
    fn add(&mut self, data: &Bytes, memory: OwnedSemaphorePermit) {
        self.bytes.extend_from_slice(data);
        match &mut self.memory {
            Some(held) => held.merge(memory),
            None => self.memory = Some(memory),
        }
    }
}
