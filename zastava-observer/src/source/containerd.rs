//! containerd through its own API: a subscription for speed, lists for completeness.
//!
//! containerd queues events for a slow subscriber without bound. So every event is taken off the stream at once, into a
//! bounded queue. An event that finds the queue full is counted as lost, and everything is listed again. What the stream
//! lost without a word, lists find ([`cadence`], docs/design/observer.md#why-is-cris-getcontainerevents-never-called).

mod cadence;
mod capture;
mod client;
mod container;
mod event;
mod image;
mod messages;
mod reader;
mod table;
mod tasks;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

pub(super) use self::client::Client;
use self::client::refused;
use self::event::{TaskEvent, Undecodable};
use self::messages::Envelope;
use self::reader::TaskReader;
use self::table::TaskTable;
use self::tasks::TaskWatcher;
use super::moby::Moby;
use super::session::{Ended, Follow, SessionError, keep_connected};
use super::socket::Sockets;
use super::{Changes, Processes, SourceHealth, SourceMetrics, WorkloadSource};
use crate::inspect::ProcessInspector;
use crate::losses::{Losses, Reason};

/// The most task events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one containerd.
#[derive(Debug)]
pub(super) struct Containerd {
    sockets: Sockets,
    processes: Processes,
    interval: Duration,
    inspector: ProcessInspector,
    arguments_max: usize,
    losses: Losses,
    moby: Moby,
    away_since: Option<Timestamp>,
}

impl Containerd {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Sockets,
        processes: Processes,
        interval: Duration,
        inspector: ProcessInspector,
        arguments_max: usize,
        losses: Losses,
        moby: Moby,
    ) -> Self {
        let away_since = None;
        Self { sockets, processes, interval, inspector, arguments_max, losses, moby, away_since }
    }

    /// Nobody has watched since then: what began and ended meanwhile is told if containerd still knows it.
    pub(super) fn away_since(self, away_since: Option<Timestamp>) -> Self {
        Self { away_since, ..self }
    }
}

#[async_trait]
impl WorkloadSource for Containerd {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let table = TaskTable::away_since(self.away_since);
        let (losses, moby) = (self.losses.clone(), self.moby.clone());
        let watcher = TaskWatcher::new(table, self.interval, changes, losses, moby);
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let arrivals = Arrivals { queue, gap: Notify::new(), losses: self.losses.clone() };
        let sockets = self.sockets.clone();
        let mut watched = Watched { containerd: *self, watcher, arrivals, queued };
        keep_connected(&mut watched, &sockets, &mut health).await;
    }
}

/// What outlives a connection: events that wait and tasks that are known.
struct Watched {
    containerd: Containerd,
    watcher: TaskWatcher,
    arrivals: Arrivals,
    queued: mpsc::Receiver<TaskEvent>,
}

#[async_trait]
impl Follow for Watched {
    type Client = Client;

    async fn session(&mut self, client: Client, version: String, health: &mut SourceHealth) -> Ended {
        let Containerd { processes, inspector, arguments_max, .. } = &self.containerd;
        let (processes, inspector, arguments_max) = (processes.clone(), inspector.clone(), *arguments_max);
        let stream = self.arrivals.read(client.clone(), health.metrics().clone());
        let reader = TaskReader { client, version, processes, inspector, arguments_max };
        // Subscribe first, list second: both report what happens in between, and it is told once.
        let ended = tokio::select! {
            biased;
            error = stream => error.into(),
            ended = self.watcher.run(reader, &mut self.queued, &self.arrivals.gap, health) => ended,
        };
        self.watcher.disconnected();
        ended
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        while let Ok(event) = self.queued.try_recv() {
            self.arrivals.lost(&event, Reason::Ended);
        }
    }
}

/// Where events arrive.
struct Arrivals {
    queue: mpsc::Sender<TaskEvent>,
    /// An event was lost.
    gap: Notify,
    losses: Losses,
}

impl Arrivals {
    /// Takes every event off the stream as soon as it arrives.
    async fn read(&self, client: Client, metrics: SourceMetrics) -> SessionError {
        let mut stream = match client.subscribe().await {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        loop {
            match stream.message().await {
                Ok(Some(envelope)) => {
                    metrics.heard(Engine::Containerd);
                    self.take(envelope, &metrics);
                }
                Ok(None) => return SessionError::StreamEnded(Engine::Containerd),
                Err(status) => return refused("Events/Subscribe", status).into(),
            }
        }
    }

    fn take(&self, envelope: Envelope, metrics: &SourceMetrics) {
        match TaskEvent::read(envelope) {
            Ok(None) => {}
            Ok(Some(event)) => {
                if let Err(error) = self.queue.try_send(event) {
                    self.lost(&error.into_inner(), Reason::QueueFull);
                    metrics.overflowed(Engine::Containerd);
                    self.gap.notify_one();
                }
            }
            Err(Undecodable(kind)) => {
                self.losses.add(Reason::Undecodable, kind, 1);
                self.gap.notify_one();
            }
        }
    }

    fn lost(&self, event: &TaskEvent, reason: Reason) {
        if let Some(kind) = event.kind() {
            self.losses.add(reason, kind, 1);
        }
    }
}
