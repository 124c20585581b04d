//! Change by change: who began or ended, what it is, into the queue, and only then remembered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{Semaphore, broadcast, mpsc};
use zastava_core::clock::Timestamp;
use zastava_core::contract::RuntimeEvent;
use zastava_core::program::Shutdown;
use zastava_core::telemetry::{Counter, Gauge, OBSERVER_INSPECTIONS, OBSERVER_WORKLOADS, Telemetry};
use zastava_core::vocabulary::{Annotation, Engine};

use crate::inspect::{Observed, encode};
use crate::options::ObserverOptions;
use crate::outbox::Outbox;
use crate::process::{CaptureError, ProcTree, ProcessFacts, ProcessReader, ProcessTarget};
use crate::runtime::Change;
use crate::ship::blocking;
use crate::tracker::{LIVE_MAX, Step, Tracker, Transition};

/// Starts and stops under way to the queue before no further change is taken in.
const UNDER_WAY_MAX: usize = 256;
/// Processes read at once.
const INSPECTIONS_MAX: usize = 4;
/// A start may be told before the engine has started the program: it is looked at so often, with
/// this pause.
const STAGE_LOOKS_MAX: usize = 50;
const STAGE_PAUSE: Duration = Duration::from_millis(10);
/// A program that has just begun is still loading its libraries: it is looked at again after this.
const LOADING_PAUSE: Duration = Duration::from_millis(50);

/// From what a source tells to events in the queue.
#[derive(Debug)]
pub(super) struct Observer {
    tracker: Tracker,
    /// Workloads with a transition that is not told yet, in order.
    under_way: VecDeque<String>,
    inspector: Arc<Inspector>,
    outbox: Arc<Outbox>,
    events: broadcast::Sender<Arc<RuntimeEvent>>,
    workloads: Gauge,
}

impl Observer {
    pub(super) fn new(
        options: &ObserverOptions,
        tree: &ProcTree,
        telemetry: &Telemetry,
        outbox: Arc<Outbox>,
        events: broadcast::Sender<Arc<RuntimeEvent>>,
    ) -> Self {
        Self {
            tracker: Tracker::default(),
            under_way: VecDeque::new(),
            inspector: Arc::new(Inspector::new(options, tree, telemetry)),
            outbox,
            events,
            workloads: telemetry.gauge(OBSERVER_WORKLOADS),
        }
    }

    /// Starts are inspected side by side, and told in the order in which they were seen.
    pub(super) async fn run(
        mut self,
        engine: &'static str,
        mut told: mpsc::Receiver<Change>,
        shutdown: Shutdown,
    ) {
        let inspector = Arc::clone(&self.inspector);
        let mut under_way = FuturesOrdered::new();
        loop {
            let change = tokio::select! {
                change = told.recv(), if under_way.len() < UNDER_WAY_MAX => change,
                Some((transition, event)) = under_way.next() => {
                    self.tell(&transition, event).await;
                    self.workloads.set(&[engine], self.tracker.live() as f64);
                    continue;
                }
                () = shutdown.begun() => None,
            };
            // A change is understood only when all that it may touch is remembered.
            if change.as_ref().is_none_or(|change| self.touches(change)) {
                while let Some((transition, event)) = under_way.next().await {
                    self.tell(&transition, event).await;
                }
            }
            self.workloads.set(&[engine], self.tracker.live() as f64);
            let Some(change) = change else { return };
            for transition in self.plan(change) {
                self.under_way.push_back(transition.container.key.clone());
                under_way.push_back(inspect(Arc::clone(&inspector), transition));
            }
        }
    }

    fn touches(&self, change: &Change) -> bool {
        match change {
            Change::Started(container) => self.under_way.contains(&container.key),
            Change::Stopped { key, .. } => self.under_way.contains(key),
            Change::Snapshot(_) => true,
        }
    }

    fn plan(&mut self, change: Change) -> Vec<Transition> {
        let left_out = self.tracker.left_out();
        let transitions = self.tracker.plan(change, Timestamp::now());
        if left_out == 0 && self.tracker.left_out() > 0 {
            tracing::warn!(limit = LIVE_MAX, "more workloads than are followed: some are left out");
        }
        transitions
    }

    /// Into the queue, then into the tracker, then to whoever listens.
    async fn tell(&mut self, transition: &Transition, event: RuntimeEvent) {
        let (outbox, event) = (Arc::clone(&self.outbox), Arc::new(event));
        let stored = Arc::clone(&event);
        let (style, bytes_max) = (outbox.kind_style(), outbox.event_bytes_max());
        let json = blocking(move || encode((*stored).clone(), style, bytes_max)).await;
        outbox.offer(event.kind, json).await;
        self.tracker.commit(transition);
        self.under_way.pop_front();
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}

async fn inspect(inspector: Arc<Inspector>, transition: Transition) -> (Transition, RuntimeEvent) {
    let event = inspector.event(&transition).await;
    (transition, event)
}

/// Makes the event of a transition.
#[derive(Debug)]
struct Inspector {
    observed: Observed,
    reader: ProcessReader,
    permits: Semaphore,
    inspections: Counter,
}

impl Inspector {
    fn new(options: &ObserverOptions, tree: &ProcTree, telemetry: &Telemetry) -> Self {
        let observed = Observed {
            tenant: options.runtime.tenant.clone(),
            node: options.node_name.clone(),
            boot_id: tree.boot_id().to_owned(),
        };
        let reader = ProcessReader::new(tree.clone(), options.collect.clone());
        let permits = Semaphore::new(INSPECTIONS_MAX);
        Self { observed, reader, permits, inspections: telemetry.counter(OBSERVER_INSPECTIONS) }
    }

    async fn event(&self, transition: &Transition) -> RuntimeEvent {
        let Transition { container, at, step, reconciled } = transition;
        let mut event = match step {
            Step::Stop { exit_status } => self.observed.stop(container, *at, *exit_status),
            Step::Start => {
                let target = ProcessTarget {
                    pid: container.pid,
                    start_ticks: container.start_ticks,
                    cgroup: container.cgroup.clone(),
                };
                let captured = self.capture(target).await;
                let outcome = captured.as_ref().map_or_else(CaptureError::outcome, |_| "read");
                self.inspections.add(&[outcome], 1);
                self.observed.start(container, *at, captured.as_ref())
            }
        };
        // The host is only ever listed; elsewhere it says that the engine's own word is missing.
        if *reconciled && container.runtime.name != Engine::Host {
            event.annotate(Annotation::Reconciled, "true");
        }
        event
    }

    /// Looks again while the engine prepares the program's start, since nothing announces its `exec`,
    /// and while a program that has just begun loads its libraries. When it ends before the second
    /// look, the first one counts.
    async fn capture(&self, target: ProcessTarget) -> Result<ProcessFacts, CaptureError> {
        let mut looks = 1;
        loop {
            match self.look(&target).await {
                Err(CaptureError::NotStarted) if looks < STAGE_LOOKS_MAX => {
                    looks += 1;
                    tokio::time::sleep(STAGE_PAUSE).await;
                }
                Ok(facts) if self.reader.is_young(&facts, LOADING_PAUSE) => {
                    tokio::time::sleep(LOADING_PAUSE).await;
                    return self.look(&target).await.or(Ok(facts));
                }
                captured => return captured,
            }
        }
    }

    async fn look(&self, target: &ProcessTarget) -> Result<ProcessFacts, CaptureError> {
        // Never closed.
        let _permit = self.permits.acquire().await;
        let (reader, target) = (self.reader.clone(), target.clone());
        blocking(move || reader.capture(&target)).await
    }
}
