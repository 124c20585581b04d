//! The observer put together. The only place that starts tasks.

mod observe;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use zastava_authority::RuntimeCore;
use zastava_core::contract::RuntimeEvent;
use zastava_core::program::{Check, Health, Shutdown};
use zastava_core::telemetry::{Gauge, SOURCE_UP, Telemetry};
use zastava_core::vocabulary::Engine;

use self::observe::Observer;
use crate::Error;
use crate::mounts::Mounts;
use crate::options::{EngineChoice, ObserverOptions};
use crate::outbox::{Accounting, Outbox};
use crate::process::ProcTree;
use crate::runtime::{Changes, ContainerRuntime, Containerd, Host, SourceCondition};
use crate::ship::{Condition, Shipper, blocking};

/// Changes that wait for the tracker; the source is slowed down by more.
const CHANGES_MAX: usize = 1024;
/// Events that a listener in this process may lag behind.
const EVENTS_LISTENED_MAX: usize = 1024;
/// How often the books are brought up to date.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end waits for what is under way, and then for Scanner to take what waits.
const INSPECT_END_MAX: Duration = Duration::from_secs(2);
const FLUSH_END_MAX: Duration = Duration::from_secs(5);
/// An observer, ready to run.
#[derive(Debug)]
pub struct App {
    options: ObserverOptions,
    tree: ProcTree,
    outbox: Arc<Outbox>,
    shipper: Shipper,
    observer: Observer,
    events: broadcast::Sender<Arc<RuntimeEvent>>,
    source: SourceParts,
    mounts: Mounts,
}

/// What shows the state of the source that is chosen when the app runs.
#[derive(Debug)]
struct SourceParts {
    /// Empty until it is chosen.
    engine: Arc<OnceLock<&'static str>>,
    up: Gauge,
    check: Check,
}

impl App {
    /// Opens what the options name: the `/proc` tree, the event buffer, the way to Scanner. A `/proc`
    /// that is not there is no error: see `/status`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When one of them cannot be opened; see [`Error`].
    pub fn build(options: ObserverOptions, telemetry: &Telemetry, health: &Health) -> Result<Self, Error> {
        let mounts = Mounts::new(&options, telemetry, health);
        let tree = open_tree(&options)?;
        let core =
            RuntimeCore::connect(&options.runtime, &options.backend, telemetry).map_err(Error::Authority)?;
        let outbox = Arc::new(Outbox::open(&options, telemetry)?);
        let condition = Condition::default();
        let scanner = core.scanner();
        let shipper = Shipper::new(Arc::clone(&outbox), scanner, options.publish.clone(), condition.clone());
        let engine = Arc::<OnceLock<&str>>::default();
        let (of_status, chosen) = (Arc::clone(&outbox), Arc::clone(&engine));
        health.status("observer", move || {
            json!({"engine": chosen.get(), "accounting": of_status.settled(), "scannerFailure": condition.failure()})
        });
        let source = SourceParts { engine, up: telemetry.gauge(SOURCE_UP), check: health.check("source") };
        health.status("authority", move || core.status());
        let events = broadcast::Sender::new(EVENTS_LISTENED_MAX);
        let observer = Observer::new(&options, &tree, telemetry, Arc::clone(&outbox), events.clone());
        Ok(Self { options, tree, outbox, shipper, observer, events, source, mounts })
    }

    /// Events as they are made, for a listener in this process.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// The books, also while the app runs.
    #[must_use]
    pub fn books(&self) -> Books {
        Books(Arc::clone(&self.outbox))
    }

    /// Watches and sends until the shutdown begins; then sends what waits, for a few seconds. What
    /// is not taken by then stays on disk for the next start.
    ///
    /// # Errors
    /// [`Error::PartEnded`] when a part fails that never should; the others are ended first.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let (engine, source) = choose_source(&self.options, &self.tree).await;
        // Chosen once; nobody else sets it.
        let _ = self.source.engine.set(engine);
        let condition = SourceCondition::new(engine, self.source.up, self.source.check);
        let (changes, told) = Changes::channel(CHANGES_MAX);
        let (observing, sending) = (Shutdown::new(), Shutdown::new());
        let mut source = Task::start(source.watch(changes, condition));
        let mut observe = Task::start(self.observer.run(engine, told, observing.clone()));
        let mut ship = Task::start(self.shipper.run(sending.clone()));
        let mut settle = Task::start(settle(Arc::clone(&self.outbox), self.mounts));
        let ended = tokio::select! {
            () = shutdown.begun() => None,
            () = source.ended() => Some("source"),
            () = observe.ended() => Some("tracker"),
            () = ship.ended() => Some("shipper"),
            () = settle.ended() => Some("bookkeeping"),
        };
        drop(source);
        observing.begin();
        observe.end(INSPECT_END_MAX).await;
        sending.begin();
        ship.end(FLUSH_END_MAX).await;
        drop(settle);
        let outbox = Arc::clone(&self.outbox);
        blocking(move || outbox.close()).await;
        tracing::info!(accounting = %json!(self.outbox.accounting()), "the observer has ended");
        ended.map_or(Ok(()), |part| Err(Error::PartEnded { part }))
    }
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Task {
    fn start(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Waits until the task ends by itself, or by a panic, which was reported by then.
    async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }

    /// Lets the task finish for a while, then stops it where it stands.
    async fn end(mut self, patience: Duration) {
        if !self.0.is_finished() {
            let _ = tokio::time::timeout(patience, self.ended()).await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Without any `/proc` at the path, events are told without what stands there. Something else at the
/// path is a mistake to be told at once.
fn open_tree(options: &ObserverOptions) -> Result<ProcTree, Error> {
    let root = &options.proc_root_path;
    if options.engine == EngineChoice::Only(Engine::Host) || root.join("stat").exists() {
        ProcTree::open(root)
    } else {
        Ok(ProcTree::missing(root))
    }
}

async fn settle(outbox: Arc<Outbox>, mounts: Mounts) {
    let mut ticks = tokio::time::interval(SETTLE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mounts = mounts.clone();
        blocking(move || mounts.look()).await;
        outbox.settle();
    }
}

/// Decided once: a node does not change its container engine while it runs.
async fn choose_source(
    options: &ObserverOptions,
    tree: &ProcTree,
) -> (&'static str, Box<dyn ContainerRuntime>) {
    let arguments_max = options.collect.entrypoint_arguments_max;
    let sockets = options.containerd_sockets();
    let containerd = Containerd::new(sockets, tree.clone(), options.poll_interval, arguments_max);
    let use_containerd = match options.engine {
        EngineChoice::Only(Engine::Containerd) => true,
        EngineChoice::Auto => containerd.answers().await,
        // The two engines that are not built are refused with the configuration.
        EngineChoice::Only(_) => false,
    };
    if use_containerd {
        ("containerd", Box::new(containerd))
    } else {
        ("host", Box::new(Host::new(tree.clone(), options.poll_interval)))
    }
}

/// Events as they are made. A listener that lags behind misses the oldest.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<RuntimeEvent>>);

impl Events {
    /// The next event; `None` when the app has ended.
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

/// What became of every event. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Books(Arc<Outbox>);

impl Books {
    /// The state at this moment. Waits for file operations that are under way.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        self.0.accounting()
    }
}
