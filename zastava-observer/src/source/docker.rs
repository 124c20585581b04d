//! Docker Engine through its own API: the stream of events for speed, lists for completeness.
//!
//! Docker gives a reader of events 100 ms and then leaves the event out, without a word. So every event is taken off the stream
//! at once, into a bounded queue. An event that finds the queue full is counted as lost, and everything is listed again. A list
//! names every container that runs, so whatever the stream left out is found
//! (docs/design/observer.md#how-is-docker-engine-observed).

mod answers;
mod arrivals;
mod client;
mod container;
mod error;
mod lines;
mod watcher;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use self::answers::Event;
use self::arrivals::Arrivals;
pub(super) use self::client::Client;
use self::watcher::Watcher;
use super::moby::Moby;
use super::runs::Runs;
use super::session::{Ended, Follow, keep_connected};
use super::socket::Sockets;
use super::{Changes, Processes, SourceHealth, WorkloadSource};
use crate::losses::{Losses, Reason};

/// The most events that wait to be handled.
const QUEUE_EVENTS_MAX: usize = 4096;

/// Watches one Docker Engine.
#[derive(Debug)]
pub(super) struct Docker {
    sockets: Sockets,
    processes: Processes,
    interval: Duration,
    arguments_max: usize,
    losses: Losses,
    moby: Moby,
}

impl Docker {
    /// Tries the sockets in their order.
    pub(super) fn new(
        sockets: Sockets,
        processes: Processes,
        interval: Duration,
        arguments_max: usize,
        losses: Losses,
        moby: Moby,
    ) -> Self {
        Self { sockets, processes, interval, arguments_max, losses, moby }
    }
}

#[async_trait]
impl WorkloadSource for Docker {
    async fn watch(self: Box<Self>, changes: Changes, mut health: SourceHealth) {
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let (losses, metrics) = (self.losses.clone(), health.metrics().clone());
        let arrivals = Arrivals { queue, losses, metrics, last: None };
        let (sockets, runs) = (self.sockets.clone(), Runs::default());
        let mut watched = Watched { docker: *self, changes, runs, was_listed: false, arrivals, queued };
        keep_connected(&mut watched, &sockets, &mut health).await;
    }
}

/// What outlives a connection: events that wait and runs that are told.
struct Watched {
    docker: Docker,
    changes: Changes,
    runs: Runs,
    was_listed: bool,
    arrivals: Arrivals,
    queued: mpsc::Receiver<Event>,
}

#[async_trait]
impl Follow for Watched {
    type Client = Client;

    async fn session(&mut self, client: Client, version: String, health: &mut SourceHealth) -> Ended {
        let gap = Notify::new();
        let mut watcher = Watcher {
            client: &client,
            version,
            docker: &self.docker,
            changes: &self.changes,
            runs: &mut self.runs,
            was_listed: &mut self.was_listed,
            images: Default::default(),
        };
        tokio::select! {
            biased;
            error = client.read_events(&mut self.arrivals, &gap) => error.into(),
            ended = watcher.run(&mut self.queued, &gap, health) => ended,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        while let Ok(event) = self.queued.try_recv() {
            self.docker.losses.add(Reason::Ended, event.kind(), 1);
        }
    }
}
