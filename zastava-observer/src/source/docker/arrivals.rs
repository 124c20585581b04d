//! The way of an event from the stream to the watcher. What does not arrive is counted as lost.

use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use zastava_core::clock::Timestamp;
use zastava_core::contract::EventKind;
use zastava_core::vocabulary::Engine;

use super::answers::Event;
use crate::losses::{Losses, Reason};
use crate::source::SourceMetrics;

/// Where events arrive.
pub(super) struct Arrivals {
    pub(super) queue: mpsc::Sender<Event>,
    pub(super) losses: Losses,
    pub(super) metrics: SourceMetrics,
    /// The time of the last one.
    pub(super) last: Option<Timestamp>,
}

impl Arrivals {
    /// From when on events are wanted: after the last one that came, or from now on. Docker keeps its last 256.
    pub(super) fn since(&self) -> Timestamp {
        let last = self.last.map(|last| last.saturating_add(Duration::from_nanos(1)));
        last.unwrap_or_else(Timestamp::now)
    }

    /// Takes a line of the stream; `None` is one that is too long. Whatever is lost calls for a list by `gap`.
    pub(super) fn take(&mut self, line: Option<&[u8]>, gap: &Notify) {
        self.metrics.heard(Engine::Docker);
        let event = line.map(serde_json::from_slice::<Event>);
        let lost = match event {
            Some(Ok(event)) => {
                self.last = self.last.max(Some(event.at()));
                let Err(error) = self.queue.try_send(event) else { return };
                self.metrics.overflowed(Engine::Docker);
                (Reason::QueueFull, error.into_inner().kind())
            }
            // What it would have told is not known.
            Some(Err(_)) | None => (Reason::Undecodable, EventKind::ContainerStart),
        };
        self.losses.add(lost.0, lost.1, 1);
        gap.notify_one();
    }
}

/// An event that is taken off the queue. Without an end it is lost: the observer has ended, or the connection.
pub(super) struct InHand<'a> {
    pub(super) losses: &'a Losses,
    pub(super) event: &'a Event,
    pub(super) is_handled: bool,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if !self.is_handled {
            self.losses.add(Reason::Ended, self.event.kind(), 1);
        }
    }
}
