//! Follows the engine that is chosen, and hands over when the choice changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zastava_core::program::Check;
use zastava_core::vocabulary::Engine;

use super::choice::{Choice, Followed};
use super::containerd::{Containerd, Processes};
use super::host::Host;
use super::{Changes, SourceHealth, SourceMetrics, WorkloadSource};
use crate::inspect::ProcessInspector;
use crate::losses::Losses;
use crate::options::ObserverOptions;
use crate::procfs::ProcTree;
use crate::reads::Reads;
use crate::workload::Change;

/// The workload sources of this node, of which one is followed at a time.
#[derive(Debug)]
pub(crate) struct Sources {
    choice: Choice,
    sockets: Vec<PathBuf>,
    tree: ProcTree,
    reads: Reads,
    inspector: ProcessInspector,
    interval: Duration,
    arguments_max: usize,
    followed: FollowedEngine,
    metrics: SourceMetrics,
    losses: Losses,
    check: Check,
}

/// The engine that is followed now, for `/status`. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowedEngine(Arc<Mutex<Option<Engine>>>);

impl FollowedEngine {
    /// `None` until the first choice.
    pub(crate) fn get(&self) -> Option<Engine> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, engine: Engine) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }
}

impl Sources {
    /// `metrics` and `check` show the health of the source that is followed; `losses` gets the changes that it loses.
    pub(crate) fn new(
        options: &ObserverOptions,
        tree: ProcTree,
        reads: Reads,
        inspector: ProcessInspector,
        metrics: SourceMetrics,
        losses: Losses,
        check: Check,
    ) -> Self {
        Self {
            choice: Choice::new(options.engine),
            sockets: options.containerd_sockets(),
            tree,
            reads,
            inspector,
            interval: options.poll_interval,
            arguments_max: options.collect.entrypoint_arguments_max,
            followed: FollowedEngine::default(),
            metrics,
            losses,
            check,
        }
    }

    pub(crate) fn followed(&self) -> FollowedEngine {
        self.followed.clone()
    }

    /// Reports the changes of the chosen engine until nobody listens.
    pub(crate) async fn run(mut self, changes: Changes) {
        self.probe().await;
        loop {
            let followed = self.choice.followed();
            let engine = followed.engine();
            self.followed.set(engine);
            let health = SourceHealth::new(engine, self.metrics.clone(), self.check.clone());
            let source = self.source(followed);
            tokio::select! {
                () = source.watch(changes.clone(), health) => return,
                () = self.until_chosen_anew(followed) => {}
            }
            self.metrics.end(engine);
            tracing::info!(from = %engine, to = %self.choice.followed().engine(), "another engine is followed now");
            // Everything that the source reported stands before this in the channel.
            if changes.report(Change::Unfollowed { engine }).await.is_err() {
                return;
            }
        }
    }

    async fn probe(&mut self) {
        if self.choice.is_open() {
            let answers = self.containerd().answers().await;
            self.choice.probed(answers);
        }
    }

    /// Looks for containerd once an interval while the choice is open.
    async fn until_chosen_anew(&mut self, followed: Followed) {
        while self.choice.is_open() && self.choice.followed() == followed {
            tokio::time::sleep(self.interval).await;
            self.probe().await;
        }
        if self.choice.followed() == followed {
            std::future::pending().await
        }
    }

    fn source(&self, followed: Followed) -> Box<dyn WorkloadSource> {
        match followed {
            Followed::Containerd => Box::new(self.containerd()),
            Followed::Host => Box::new(Host::new(self.tree.clone(), self.reads.clone(), self.interval)),
        }
    }

    fn containerd(&self) -> Containerd {
        let processes = Processes { tree: self.tree.clone(), reads: self.reads.clone() };
        Containerd::new(
            self.sockets.clone(),
            processes,
            self.interval,
            self.inspector.clone(),
            self.arguments_max,
            self.losses.clone(),
        )
    }
}
