//! Takes changes one by one: schedules them, inspects what started, stores the events, commits.

mod looks;
mod noise;
mod restart;
mod running;
mod teller;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{broadcast, mpsc};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::program::Shutdown;
use zastava_core::telemetry::{Histogram, OBSERVER_START_TO_BUFFER, Telemetry};
use zastava_core::vocabulary::{Annotation, Engine};

use crate::blocking::blocking;
use crate::delivery::Outbox;
use crate::event::encode;
use crate::inspect::Seen;
use crate::live_set::{Earlier, LiveSet};
use crate::losses::{Losses, Reason};
use crate::tracker::{LIVE_MAX, Schedule, Step, Transition};

use crate::posture::Answer;
use crate::workload::{Change, Note, Noted};

use self::looks::{LOOKS, Looks};
use self::noise::Noise;
use self::running::Running;
pub(crate) use self::teller::Teller;
use self::teller::Told;

/// Events of other workloads do not wait any longer for an inspection.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(20);
/// The same on the host, whose young processes are given time to load their libraries.
const OVERTAKEN_ON_HOST_AFTER: Duration = Duration::from_millis(100);

/// The most starts for whose posture somebody waits. The others are told without one.
const LATE_POSTURES_MAX: usize = 256;

/// From the changes of a workload source to events in the outbox.
#[derive(Debug)]
pub(crate) struct Pipeline {
    schedule: Schedule<Told>,
    looks: Looks,
    noise: Noise,
    teller: Arc<Teller>,
    outbox: Arc<Outbox>,
    live: LiveSet,
    earlier: Earlier,
    listeners: broadcast::Sender<Arc<RuntimeEvent>>,
    running: Running,
    losses: Losses,
    /// How many starts were left out so far.
    left_out: u64,
    /// How many processes were started in unknown workloads so far.
    unknown_execs: u64,
    start_to_buffer: Histogram,
}

impl Pipeline {
    pub(crate) fn new(
        teller: Teller,
        looks: [Duration; LOOKS],
        outbox: Arc<Outbox>,
        (live, earlier): (LiveSet, Earlier),
        listeners: broadcast::Sender<Arc<RuntimeEvent>>,
        telemetry: &Telemetry,
    ) -> Self {
        let losses = outbox.losses();
        Self {
            schedule: Schedule::default(),
            looks: Looks::new(looks),
            noise: Noise::new(Instant::now()),
            teller: Arc::new(teller),
            outbox,
            live,
            earlier,
            listeners,
            running: Running::new(telemetry),
            losses,
            left_out: 0,
            unknown_execs: 0,
            start_to_buffer: telemetry.histogram(OBSERVER_START_TO_BUFFER),
        }
    }

    /// How many workloads run.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Runs until the shutdown begins or no source is left, and then until every transition under way
    /// is committed.
    pub(crate) async fn run(mut self, mut changes: mpsc::Receiver<Change>, shutdown: Shutdown) {
        let (mut inspections, mut late) = (FuturesUnordered::new(), FuturesUnordered::new());
        let (mut postures, mut open) = (FuturesUnordered::new(), true);
        self.take_up().await;
        loop {
            for (ticket, transition) in self.schedule.plan(Timestamp::now()) {
                let overtaken_after = match transition.workload.engine {
                    Engine::Host => OVERTAKEN_ON_HOST_AFTER,
                    _ => OVERTAKEN_AFTER,
                };
                inspections.push(Arc::clone(&self.teller).tell(ticket, transition));
                late.push(async move {
                    tokio::time::sleep(overtaken_after).await;
                    ticket
                });
            }
            self.show();
            if let Some((transition, told)) = self.schedule.ready() {
                let (transition, events) = (transition.clone(), told.events.clone());
                let posture = self.store(&transition, events).await;
                if let Some(answer) = posture.filter(|_| postures.len() < LATE_POSTURES_MAX) {
                    let run = Noted::run_of(&transition.workload);
                    postures.push(answer.map(|known| (run, known)));
                }
                continue;
            }
            if !open && self.schedule.is_idle() {
                break;
            }
            let look =
                self.looks.due().filter(|_| open && self.schedule.accepts() && !self.schedule.is_looking());
            tokio::select! {
                change = changes.recv(), if open && self.schedule.accepts() => match change {
                    Some(change) => self.schedule.offer(change),
                    None => open = false,
                },
                Some((ticket, told)) = inspections.next() => self.schedule.inspected(ticket, told),
                Some(ticket) = late.next() => self.schedule.late(ticket),
                Some((run, known)) = postures.next(), if open && self.schedule.accepts() => {
                    self.schedule.offer(Change::Noted(run, Note::Posture(known)));
                }
                () = sleep_until(look), if look.is_some() => {
                    if let Some(change) = self.looks.next() {
                        self.schedule.offer(change);
                    }
                }
                () = shutdown.begun(), if open => open = false,
            }
        }
        while let Ok(change) = changes.try_recv() {
            change.lost(Reason::Ended, &self.losses);
        }
    }

    /// Stores the events, commits their transition, then passes them on to listeners. Returns how the image is signed, if that
    /// is to be told later.
    async fn store(&mut self, transition: &Transition, events: Vec<Arc<RuntimeEvent>>) -> Option<Answer> {
        let events = self.without_noise(transition, events);
        self.live.begins(transition).await;
        let mut is_on_disk = true;
        for event in &events {
            is_on_disk &= self.offer(event).await;
        }
        let told = self.schedule.commit().unwrap_or_default();
        self.live.committed(transition, is_on_disk);
        self.plan_look(transition, told.next_look);
        let tracker = self.schedule.tracker();
        let live = tracker.live().map(|(_, count)| count).sum();
        self.live.keep_short(live, tracker.workloads(), tracker.restored());
        for event in events {
            // Nobody has to listen.
            let _ = self.listeners.send(event);
        }
        told.posture
    }

    /// The events that are told. Those that are left out are counted.
    fn without_noise(
        &mut self,
        transition: &Transition,
        mut events: Vec<Arc<RuntimeEvent>>,
    ) -> Vec<Arc<RuntimeEvent>> {
        let (run, now) = (Noted::run_of(&transition.workload), Instant::now());
        events.retain(|event| {
            let Some((cause, fact)) = noise::cause(event) else { return true };
            let admitted = self.noise.admit(&run, cause, fact, now);
            admitted.map_err(|reason| self.losses.add(reason, event.kind, 1)).is_ok()
        });
        if let Some(first) = events.first_mut()
            && let left_out @ 1.. = self.noise.left_out(&run)
        {
            Arc::make_mut(first).annotate(Annotation::Suppressed, left_out.to_string());
        }
        if matches!(transition.step, Step::Stop { .. }) {
            self.noise.stopped(&run);
        }
        events
    }

    fn plan_look(&mut self, transition: &Transition, next: Option<(usize, Seen)>) {
        let run = Noted::run_of(&transition.workload);
        match (&transition.step, next) {
            (Step::Stop { .. }, _) => self.looks.stopped(&run),
            (_, Some((number, seen))) => self.looks.told(run, number, seen, Instant::now()),
            (_, None) => {}
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
        for engine in self.running.show(tracker.live()) {
            self.live.unfollowed(engine);
        }
        let left_out = tracker.left_out();
        if left_out > 0 && self.left_out == 0 {
            tracing::warn!(
                limit = LIVE_MAX,
                "too many workloads run; those beyond the limit are not observed"
            );
        }
        let new = left_out - self.left_out;
        self.losses.add(Reason::TooManyWorkloads, EventKind::ContainerStart, new);
        let unknown_execs = tracker.unknown_execs();
        self.losses.add(Reason::UnknownWorkload, EventKind::Drift, unknown_execs - self.unknown_execs);
        (self.left_out, self.unknown_execs) = (left_out, unknown_execs);
    }
}

/// Whether the engine reported the start when it happened.
fn is_reported_start(event: &RuntimeEvent) -> bool {
    let is_later = |annotation: &Annotation| event.annotations.contains_key(annotation.as_str());
    event.kind == EventKind::ContainerStart
        && event.engine.name != Engine::Host
        && ![Annotation::Reconciled, Annotation::Amends].iter().any(is_later)
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
