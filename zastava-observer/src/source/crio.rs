//! CRI-O through CRI: lists, and its stream of events where that works.
//!
//! CRI-O ends the stream at once unless `enable_pod_events` is set, which it is not by default. So a list comes at each interval,
//! and events only make it faster (docs/design/observer.md#how-is-cri-o-observed).

mod client;
mod container;
mod error;
mod messages;
#[cfg(test)]
mod tests;
mod watcher;

#[cfg(feature = "fuzzing")]
pub use self::container::container_info;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use zastava_core::vocabulary::Engine;

pub(super) use self::client::Client;
use self::error::refused;
use self::messages::Event;
use self::watcher::{Memory, Watcher};
use super::session::{Ended, Follow, SessionError, keep_connected};
use super::socket::Sockets;
use super::{Changes, Processes, SourceHealth, SourceMetrics, WorkloadSource};

/// The most events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one CRI-O.
#[derive(Debug)]
pub(super) struct Crio {
    sockets: Sockets,
    processes: Processes,
    interval: Duration,
    arguments_max: usize,
}

impl Crio {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Sockets,
        processes: Processes,
        interval: Duration,
        arguments_max: usize,
    ) -> Self {
        Self { sockets, processes, interval, arguments_max }
    }
}

#[async_trait]
impl WorkloadSource for Crio {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let sockets = self.sockets.clone();
        let mut watched = Watched { crio: *self, changes, memory: Memory::default() };
        keep_connected(&mut watched, &sockets, &mut health).await;
    }
}

/// What outlives a connection: what happened in between is told by comparison.
struct Watched {
    crio: Crio,
    changes: Changes,
    memory: Memory,
}

#[async_trait]
impl Follow for Watched {
    type Client = Client;

    async fn session(&mut self, client: Client, version: String, health: &mut SourceHealth) -> Ended {
        let metrics = health.metrics().clone();
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let mut watcher = Watcher {
            client: &client,
            version,
            crio: &self.crio,
            changes: &self.changes,
            memory: &mut self.memory,
            images: Default::default(),
            was_listed: false,
        };
        tokio::select! {
            biased;
            error = read_stream(client.clone(), queue, metrics) => error.into(),
            ended = watcher.run(queued, health) => ended,
        }
    }
}

/// Takes every event off the stream as soon as it arrives: CRI-O sends to all readers in turn, and waits for each. A stream that
/// ends without an event, or that CRI-O does not have, is left: lists tell everything.
async fn read_stream(client: Client, queue: mpsc::Sender<Event>, metrics: SourceMetrics) -> SessionError {
    let Ok(mut stream) = client.events().await else { return std::future::pending().await };
    let mut has_events = false;
    loop {
        match stream.message().await {
            Ok(Some(event)) => {
                has_events = true;
                metrics.heard(Engine::CriO);
                // It only says where to look, so that a list makes up for it.
                if queue.try_send(event).is_err() {
                    metrics.overflowed(Engine::CriO);
                    return SessionError::Overflow(QUEUE_EVENTS_MAX);
                }
            }
            Ok(None) | Err(_) if !has_events => return std::future::pending().await,
            Ok(None) => return SessionError::StreamEnded(Engine::CriO),
            Err(status) => return refused("GetContainerEvents", status).into(),
        }
    }
}
