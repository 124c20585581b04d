//! Takes changes one by one: schedules them, inspects what started, stores the events, commits.

mod restart;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::program::Shutdown;
use zastava_core::telemetry::{Gauge, Histogram, OBSERVER_START_TO_BUFFER, OBSERVER_WORKLOADS, Telemetry};
use zastava_core::vocabulary::{Annotation, Engine};

use crate::blocking::blocking;
use crate::delivery::Outbox;
use crate::event::{Node, encode, mark_reconciled};
use crate::inspect::Inspector;
use crate::live_set::{Earlier, LiveSet};
use crate::losses::{Losses, Reason};
use crate::tracker::{LIVE_MAX, Schedule, Step, Ticket, Transition};
use crate::workload::Change;

/// Events of other workloads do not wait any longer for an inspection.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(20);
/// The same on the host, whose young processes are given time to load their libraries.
const OVERTAKEN_ON_HOST_AFTER: Duration = Duration::from_millis(100);

/// From the changes of a workload source to events in the outbox.
#[derive(Debug)]
pub(crate) struct Pipeline {
    schedule: Schedule<Vec<Arc<RuntimeEvent>>>,
    inspector: Arc<NodeInspector>,
    outbox: Arc<Outbox>,
    live: LiveSet,
    earlier: Earlier,
    listeners: broadcast::Sender<Arc<RuntimeEvent>>,
    workloads: Gauge,
    /// The engines that `workloads` has a series of.
    shown: BTreeSet<Engine>,
    losses: Losses,
    /// How many starts were left out so far.
    left_out: u64,
    start_to_buffer: Histogram,
}

/// Inspects workloads of this node and makes their events.
#[derive(Debug)]
struct NodeInspector {
    node: Node,
    processes: Inspector,
}

impl NodeInspector {
    /// The events of a planned transition: a start may have found files that drifted.
    async fn events(
        self: Arc<Self>,
        ticket: Ticket,
        transition: Transition,
    ) -> (Ticket, Vec<Arc<RuntimeEvent>>) {
        let Transition { workload, at, step, .. } = &transition;
        let mut drift = None;
        let mut event = match step {
            Step::Start => {
                let found = self.processes.inspect(workload).await;
                let mut event = self.node.start_event(workload, *at, found.as_ref());
                if let Some(prepared) = &workload.prepared {
                    Node::add_prepared(&mut event, prepared);
                }
                drift = found.ok().and_then(|facts| self.node.drift_event(workload, &event, &facts.drift));
                event
            }
            Step::Stop { exit_status } => self.node.stop_event(workload, *at, *exit_status),
        };
        mark_reconciled(&mut event, &transition);
        (ticket, std::iter::once(event).chain(drift).map(Arc::new).collect())
    }
}

impl Pipeline {
    pub(crate) fn new(
        node: Node,
        inspector: Inspector,
        outbox: Arc<Outbox>,
        (live, earlier): (LiveSet, Earlier),
        listeners: broadcast::Sender<Arc<RuntimeEvent>>,
        telemetry: &Telemetry,
    ) -> Self {
        let losses = outbox.losses();
        Self {
            schedule: Schedule::default(),
            inspector: Arc::new(NodeInspector { node, processes: inspector }),
            outbox,
            live,
            earlier,
            listeners,
            workloads: telemetry.gauge(OBSERVER_WORKLOADS),
            shown: BTreeSet::new(),
            losses,
            left_out: 0,
            start_to_buffer: telemetry.histogram(OBSERVER_START_TO_BUFFER),
        }
    }

    /// Runs until the shutdown begins or no source is left, and then until every transition under way
    /// is committed.
    pub(crate) async fn run(mut self, mut changes: mpsc::Receiver<Change>, shutdown: Shutdown) {
        let (mut inspections, mut late) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut open = true;
        self.take_up().await;
        loop {
            for (ticket, transition) in self.schedule.plan(Timestamp::now()) {
                let overtaken_after = match transition.workload.engine {
                    Engine::Host => OVERTAKEN_ON_HOST_AFTER,
                    _ => OVERTAKEN_AFTER,
                };
                inspections.push(Arc::clone(&self.inspector).events(ticket, transition));
                late.push(async move {
                    tokio::time::sleep(overtaken_after).await;
                    ticket
                });
            }
            self.show();
            if let Some((transition, events)) = self.schedule.ready() {
                let (transition, events) = (transition.clone(), events.clone());
                self.store(&transition, events).await;
                continue;
            }
            if !open && self.schedule.is_idle() {
                break;
            }
            tokio::select! {
                change = changes.recv(), if open && self.schedule.accepts() => match change {
                    Some(change) => self.schedule.offer(change),
                    None => open = false,
                },
                Some((ticket, events)) = inspections.next() => self.schedule.inspected(ticket, events),
                Some(ticket) = late.next() => self.schedule.late(ticket),
                () = shutdown.begun(), if open => open = false,
            }
        }
        while let Ok(change) = changes.try_recv() {
            change.lost(Reason::Ended, &self.losses);
        }
    }

    /// Stores the events, commits their transition, then passes them on to listeners.
    async fn store(&mut self, transition: &Transition, events: Vec<Arc<RuntimeEvent>>) {
        self.live.begins(transition).await;
        let mut is_on_disk = true;
        for event in &events {
            is_on_disk &= self.offer(event).await;
        }
        self.schedule.commit();
        self.live.committed(transition, is_on_disk);
        let tracker = self.schedule.tracker();
        let live = tracker.live().map(|(_, count)| count).sum();
        self.live.keep_short(live, tracker.workloads(), tracker.restored());
        for event in events {
            // Nobody has to listen.
            let _ = self.listeners.send(event);
        }
    }

    /// Stores an event. Returns whether it survives this process.
    async fn offer(&self, event: &Arc<RuntimeEvent>) -> bool {
        let (outbox, stored) = (Arc::clone(&self.outbox), Arc::clone(event));
        let (style, bytes_max) = (outbox.kind_style(), outbox.event_bytes_max());
        let json = blocking(move || encode((*stored).clone(), style, bytes_max)).await;
        let workload = event.workload.container_id.as_deref().unwrap_or_default();
        let is_on_disk = outbox.offer(event.kind, workload, json).await;
        if is_reported_start(event) {
            let waited = Timestamp::now().saturating_since(event.when);
            self.start_to_buffer.observe_seconds(&[&event.engine.name.to_string()], waited);
        }
        is_on_disk
    }

    /// Brings the gauge and the log up to date.
    fn show(&mut self) {
        let tracker = self.schedule.tracker();
        let followed: BTreeSet<Engine> = tracker.live().map(|(engine, _)| engine).collect();
        for engine in self.shown.difference(&followed) {
            self.workloads.remove(&[engine.as_str()]);
            self.live.unfollowed(*engine);
        }
        for (engine, count) in tracker.live() {
            self.workloads.set(&[engine.as_str()], count as f64);
        }
        self.shown = followed;
        let left_out = tracker.left_out();
        if left_out > 0 && self.left_out == 0 {
            tracing::warn!(
                limit = LIVE_MAX,
                "too many workloads run; those beyond the limit are not observed"
            );
        }
        let new = left_out - self.left_out;
        self.losses.add(Reason::TooManyWorkloads, EventKind::ContainerStart, new);
        self.left_out = left_out;
    }
}

/// Whether the engine reported the start when it happened.
fn is_reported_start(event: &RuntimeEvent) -> bool {
    event.kind == EventKind::ContainerStart
        && event.engine.name != Engine::Host
        && !event.annotations.contains_key(Annotation::Reconciled.as_str())
}
