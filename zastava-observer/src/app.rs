//! Puts the observer together. Only this module starts tasks.

mod recent;
mod task;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast;
use zastava_authority::RuntimeCore;
use zastava_core::contract::RuntimeEvent;
use zastava_core::program::{Check, Health, Shutdown};
use zastava_core::telemetry::Telemetry;

use self::recent::RecentEvents;
use self::task::Task;
use crate::Error;
use crate::blocking::blocking;
use crate::delivery::{Accounting, DeadLetters, Outbox, Resend, ScannerHealth, Shipper};
use crate::event::Node;
use crate::inspect::{Inspector, ProcessInspector};
use crate::live_set::LiveSet;
use crate::options::{EngineChoice, ObserverOptions};
use crate::pipeline::{Pipeline, Teller};
use crate::posture::Postures;
use crate::procfs::ProcTree;
use crate::reads::{Place, READ_TIME_MAX, Reads, ReadsReport};
use crate::selftest::SelfTest;
use crate::source::{Changes, SourceMetrics, Sources};

/// The most changes that wait for the pipeline. A source waits while there are more.
const CHANGES_MAX: usize = 1024;
/// The most events that a listener in this process may lag behind.
const LISTENER_EVENTS_MAX: usize = 1024;
/// How often metrics, `/status` and log are brought up to date.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// At the end: the longest wait for transitions under way, and then for Scanner to take what waits.
const PIPELINE_END_MAX: Duration = Duration::from_secs(5);
const SHIPPER_END_MAX: Duration = Duration::from_secs(5);

/// An observer that is ready to run.
#[derive(Debug)]
pub struct App {
    sources: Sources,
    pipeline: Pipeline,
    outbox: Arc<Outbox>,
    shipper: Shipper,
    events: broadcast::Sender<Arc<RuntimeEvent>>,
    self_test: SelfTest,
    reads: ReadsReport,
    resend: Resend,
    recent: RecentEvents,
    buffer: Check,
}

impl App {
    /// Opens what the options name: the `/proc` tree, the event buffer, the connection to Scanner. A missing
    /// `/proc` is not an error; `/status` shows it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If one of them cannot be opened; see [`Error`].
    pub fn build(options: ObserverOptions, telemetry: &Telemetry, health: &Health) -> Result<Self, Error> {
        let reads = Reads::default();
        let self_test = SelfTest::new(&options, reads.clone(), telemetry, health);
        let tree = open_tree(&options, &reads)?;
        let core =
            RuntimeCore::connect(&options.runtime, &options.backend, telemetry).map_err(Error::Authority)?;
        let outbox = Arc::new(Outbox::open(&options, telemetry)?);
        let scanner_health = ScannerHealth::default();
        let publish = &options.publish;
        let letters = DeadLetters::new(publish.dead_letter_path.clone(), publish.dead_letter_bytes_max);
        let resend = Resend::new(letters, Arc::clone(&outbox), telemetry);
        let shown = resend.clone();
        health.status("deadLetters", move || shown.status());
        let postures = Postures::new(core.scanner(), &options.posture);
        let sent = Arc::clone(&outbox);
        let shipper = Shipper::new(sent, core.scanner(), publish.clone(), scanner_health.clone());
        let processes = ProcessInspector::with_reads(tree.clone(), options.collect.clone(), reads.clone());
        let live = LiveSet::open(&options.buffer.path, tree.boot_id(), telemetry);
        health.status("liveSet", live.0.status());
        let (metrics, check) = (SourceMetrics::new(telemetry), health.check("source"));
        let sources = Sources::new(
            &options,
            tree.clone(),
            reads.clone(),
            processes.clone(),
            metrics,
            outbox.losses(),
            check,
        )
        .away_since(live.1.away_since(tree.boot_id()));
        let (shown, recent) = (Arc::clone(&outbox), RecentEvents::default());
        health.status("buffer", move || shown.status());
        let shown = recent.clone();
        health.status("lastEvents", move || shown.status());
        let buffer = health.check("buffer");
        health.status("authority", move || core.status());
        let events = broadcast::Sender::new(LISTENER_EVENTS_MAX);
        let node = Node {
            tenant: options.runtime.tenant.clone(),
            name: options.node_name.clone(),
            boot_id: tree.boot_id().to_owned(),
        };
        let teller = Teller { node, processes: Inspector::new(processes, telemetry), postures };
        let looks = [options.collect.second_look_after, options.collect.third_look_after];
        let pipeline = Pipeline::new(teller, looks, Arc::clone(&outbox), live, events.clone(), telemetry);
        let (followed, accounted, running) = (sources.readiness(), Arc::clone(&outbox), pipeline.running());
        health.status("observer", move || {
            json!({
                "engine": followed.followed().first(),
                "sources": followed.status(),
                "workloads": running.counts(),
                "accounting": accounted.reported(),
                "scannerFailure": scanner_health.failure(),
            })
        });
        let reads = ReadsReport::new(reads, telemetry, health);
        Ok(Self { sources, pipeline, outbox, shipper, events, self_test, reads, resend, recent, buffer })
    }

    /// The events as they are stored, for a listener in this process.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// The accounting, also after the app has ended.
    #[must_use]
    pub fn accounting(&self) -> AccountingHandle {
        AccountingHandle(Arc::clone(&self.outbox))
    }

    /// Observes and sends until the shutdown begins, then sends what waits for a few seconds. Events that
    /// Scanner has not taken by then stay on disk for the next start.
    ///
    /// # Errors
    /// [`Error::PartEnded`] if a part ends before the shutdown. The other parts are ended first.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let (changes, changed) = Changes::channel(CHANGES_MAX);
        let (pipeline_end, shipper_end) = (Shutdown::new(), Shutdown::new());
        let mut source = Task::start(self.sources.run(changes));
        let mut pipeline = Task::start(self.pipeline.run(changed, pipeline_end.clone()));
        let mut shipper = Task::start(self.shipper.run(shipper_end.clone()));
        let reports = Reports {
            outbox: Arc::clone(&self.outbox),
            events: self.events.subscribe(),
            resend: self.resend,
            self_test: self.self_test,
            reads: self.reads,
            recent: self.recent,
            buffer: self.buffer,
        };
        let mut reports = Task::start(reports.run());
        let ended = tokio::select! {
            () = shutdown.begun() => None,
            () = source.ended() => Some("source"),
            () = pipeline.ended() => Some("pipeline"),
            () = shipper.ended() => Some("shipper"),
            () = reports.ended() => Some("reporting"),
        };
        source.stop().await;
        pipeline_end.begin();
        pipeline.end(PIPELINE_END_MAX).await;
        shipper_end.begin();
        shipper.end(SHIPPER_END_MAX).await;
        drop(reports);
        let outbox = Arc::clone(&self.outbox);
        blocking(move || outbox.close()).await;
        tracing::info!(accounting = %json!(self.outbox.accounting()), "the observer has ended");
        ended.map_or(Ok(()), |part| Err(Error::PartEnded { part }))
    }
}

/// Without a `/proc` at the path, events carry no process facts. If something else is there, the
/// configuration is wrong.
fn open_tree(options: &ObserverOptions, reads: &Reads) -> Result<ProcTree, Error> {
    let (root, is_needed) = (options.proc_root_path.clone(), options.engine == EngineChoice::Host);
    let opened = reads.reader(READ_TIME_MAX).read(Place::Node("proc"), move |_| {
        if is_needed || root.join("stat").exists() {
            ProcTree::open(root)
        } else {
            Ok(ProcTree::missing(&root))
        }
    });
    opened.unwrap_or_else(|not_read| {
        let (path, source) = (options.proc_root_path.clone(), std::io::Error::other(not_read));
        Err(Error::ProcRoot { path, source })
    })
}

/// What is brought up to date once a second.
struct Reports {
    outbox: Arc<Outbox>,
    events: broadcast::Receiver<Arc<RuntimeEvent>>,
    resend: Resend,
    self_test: SelfTest,
    reads: ReadsReport,
    recent: RecentEvents,
    buffer: Check,
}

impl Reports {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.recent.update(&mut self.events);
            self.reads.report();
            let self_test = self.self_test.clone();
            blocking(move || self_test.check()).await;
            self.resend.turn().await;
            self.outbox.report();
            match self.outbox.warning() {
                Some(warning) => self.buffer.warns(warning),
                None => self.buffer.holds(),
            }
        }
    }
}

/// The events of an [`App`] as they are stored. A listener that lags behind misses the oldest.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<RuntimeEvent>>);

impl Events {
    /// The next event; `None` after the app has ended.
    pub async fn next(&mut self) -> Option<Arc<RuntimeEvent>> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The accounting of an [`App`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccountingHandle(Arc<Outbox>);

impl AccountingHandle {
    /// What became of every event so far. Waits for file operations that are under way.
    #[must_use]
    pub fn current(&self) -> Accounting {
        self.0.accounting()
    }
}
