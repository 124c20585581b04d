//! A body that is recorded while it is sent, so that it can be sent again.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of one attempt: what former attempts were sent, and then the rest of the body below.
///
/// Only the newest attempt reads. A server that answers before it read everything leaves the rest of the
/// body to the next attempt.
pub struct ReplayBody<B> {
    shared: Arc<Mutex<Recording<B>>>,
    attempt: u32,
    /// How many frames of the recording were sent.
    position: usize,
}

/// A body that cannot be cloned, and what was sent of it.
pub(super) struct Recorder<B>(Arc<Mutex<Recording<B>>>);

struct Recording<B> {
    body: Pin<Box<B>>,
    frames: Vec<RecordedFrame>,
    bytes: usize,
    bytes_max: usize,
    /// It was longer than that, so that nothing is kept of it.
    is_too_long: bool,
    has_ended: bool,
    attempts: u32,
}

#[derive(Clone)]
enum RecordedFrame {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl RecordedFrame {
    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl<B> Recorder<B> {
    pub(super) fn new(body: B, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Recording {
            body: Box::pin(body),
            frames: Vec::new(),
            bytes: 0,
            bytes_max,
            is_too_long: false,
            has_ended: false,
            attempts: 0,
        })))
    }

    /// The whole body for another attempt. `None` if its beginning is gone.
    pub(super) fn replay(&self) -> Option<ReplayBody<B>> {
        let mut recording = lock(&self.0);
        if recording.is_too_long {
            return None;
        }
        recording.attempts += 1;
        let attempt = recording.attempts;
        Some(ReplayBody { shared: Arc::clone(&self.0), attempt, position: 0 })
    }
}

impl<B> Recording<B> {
    /// Keeps a frame, if all that was sent still fits.
    fn keep(&mut self, frame: &RecordedFrame) {
        self.bytes = self.bytes.saturating_add(frame.len());
        if self.bytes <= self.bytes_max && !self.is_too_long {
            self.frames.push(frame.clone());
        } else {
            self.is_too_long = true;
            self.frames = Vec::new();
        }
    }
}

impl<B> Recording<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordedFrame, BoxError>>> {
        let polled = match self.body.as_mut().poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(polled) => polled,
        };
        self.has_ended |= polled.is_none();
        Poll::Ready(polled.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            let frame = match frame.into_data() {
                Ok(mut data) => RecordedFrame::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => RecordedFrame::Trailers(frame.into_trailers().unwrap_or_default()),
            };
            self.keep(&frame);
            Ok(frame)
        }))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let shared = Arc::clone(&self.shared);
        let mut recording = lock(&shared);
        if recording.attempts != self.attempt {
            return Poll::Ready(Some(Err("the request is sent again".into())));
        }
        let polled = match recording.frames.get(self.position) {
            Some(frame) => Poll::Ready(Some(Ok(frame.clone()))),
            None if recording.has_ended => Poll::Ready(None),
            None => recording.poll_frame(cx),
        };
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.position += 1;
        }
        polled.map(|frame| frame.map(|frame| frame.map(RecordedFrame::into_frame)))
    }

    fn is_end_stream(&self) -> bool {
        let recording = lock(&self.shared);
        let is_sent = self.position >= recording.frames.len();
        is_sent && (recording.has_ended || recording.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let recording = lock(&self.shared);
        let unsent = recording.frames.iter().skip(self.position).map(RecordedFrame::len).sum::<usize>();
        let unsent = u64::try_from(unsent).unwrap_or(u64::MAX);
        let rest = if recording.has_ended { SizeHint::with_exact(0) } else { recording.body.size_hint() };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unsent)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(unsent));
        hint
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    /// Without the recording, which is the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

fn lock<B>(recording: &Mutex<Recording<B>>) -> MutexGuard<'_, Recording<B>> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}
