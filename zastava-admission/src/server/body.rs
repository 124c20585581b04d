//! Bodies, each bounded and all together bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bodies of the largest size that may be in memory at once.
const BODIES_MAX: usize = 8;

/// Reads bodies.
#[derive(Clone, Debug)]
pub(super) struct BodyReader {
    bytes_max: usize,
    room: Arc<Semaphore>,
}

/// A body that is whole, and the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct WholeBody {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, room: Arc::new(Semaphore::new(bytes_max.saturating_mul(BODIES_MAX))) }
    }

    /// The whole body, or the status to answer with.
    pub(super) async fn read(&self, body: Incoming) -> Result<WholeBody, StatusCode> {
        if body.size_hint().lower() > self.bytes_max as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, self.collect(body));
        read.await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
    }

    async fn collect(&self, mut body: Incoming) -> Result<WholeBody, StatusCode> {
        let mut whole = WholeBody { bytes: Vec::new(), room: None };
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            if whole.bytes.len() + data.len() > self.bytes_max {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            whole.add(&data, self.takeroom(data.len())?);
        }
        Ok(whole)
    }

    fn takeroom(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StatusCode> {
        let permits = u32::try_from(bytes).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        room.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl WholeBody {
    fn add(&mut self, data: &Bytes, room: OwnedSemaphorePermit) {
        self.bytes.extend_from_slice(data);
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
    }
}
