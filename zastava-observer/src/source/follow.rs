//! Follows every engine of the node that the settings name: each by a source of its own, as soon as it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use zastava_core::clock::Timestamp;
use zastava_core::program::Check;
use zastava_core::vocabulary::Engine;

use super::choice::Choice;
use super::containerd::{self, Containerd};
use super::crio::{self, Crio};
use super::docker::{self, Docker};
use super::host::Host;
use super::moby::Moby;
use super::readiness::Readiness;
use super::socket::Sockets;
use super::{Changes, Processes, SourceHealth, SourceMetrics, WorkloadSource};
use crate::inspect::ProcessInspector;
use crate::losses::Losses;
use crate::options::ObserverOptions;
use crate::procfs::ProcTree;
use crate::reads::Reads;
use crate::workload::Change;

/// The longest wait for an engine that may be there. Nothing is followed before every engine was asked once.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The workload sources of this node.
#[derive(Debug)]
pub(crate) struct Sources {
    choice: Choice,
    makes: Makes,
    follows_docker: watch::Sender<bool>,
    readiness: Readiness,
    metrics: SourceMetrics,
}

/// Makes the source of each engine.
#[derive(Debug)]
struct Makes {
    options: ObserverOptions,
    processes: Processes,
    inspector: ProcessInspector,
    losses: Losses,
    moby: Moby,
    away_since: Option<Timestamp>,
}

/// What happens while sources are followed.
enum Event {
    /// An engine was asked whether it answers.
    Asked(Engine, bool),
    /// A source ended: nobody listens, or it is not followed any longer.
    Ended { is_aborted: bool },
}

impl Sources {
    /// `metrics` and `check` show the health of the sources that are followed; `losses` gets the changes that they lose.
    pub(crate) fn new(
        options: &ObserverOptions,
        tree: ProcTree,
        reads: Reads,
        inspector: ProcessInspector,
        metrics: SourceMetrics,
        losses: Losses,
        check: Check,
    ) -> Self {
        let choice = Choice::new(options.engine, |engine| !options.sockets(engine).is_empty());
        let (follows_docker, moby) = Moby::channel();
        let processes = Processes { tree, reads };
        let makes = Makes { options: options.clone(), processes, inspector, losses, moby, away_since: None };
        Self { choice, makes, follows_docker, readiness: Readiness::new(check), metrics }
    }

    /// Nobody has watched the node since then.
    pub(crate) fn away_since(mut self, since: Option<Timestamp>) -> Self {
        self.makes.away_since = since;
        self
    }

    /// The sources that are followed, for `/status`.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Reports the changes of every engine that is followed until nobody listens.
    pub(crate) async fn run(self, changes: Changes) {
        let Self { mut choice, makes, follows_docker, readiness, metrics } = self;
        let mut under_way: FuturesUnordered<BoxFuture<'_, Event>> = FuturesUnordered::new();
        let mut followed: BTreeMap<Engine, AbortHandle> = BTreeMap::new();
        for engine in choice.open() {
            under_way.push(Box::pin(makes.ask(engine, Duration::ZERO)));
        }
        loop {
            let wanted = choice.followed();
            follows_docker.send_replace(wanted.contains(&Engine::Docker));
            // The host's source ends before the first container engine's begins. What it reported stands in the channel by then.
            for (engine, source) in followed.extract_if(.., |engine, _| !wanted.contains(engine)) {
                source.abort();
                metrics.end(engine);
                readiness.remove(engine);
                tracing::info!(%engine, "the engine is not followed any longer");
                if changes.report(Change::Unfollowed { engine, below: None }).await.is_err() {
                    return;
                }
            }
            for engine in wanted {
                if followed.contains_key(&engine) {
                    continue;
                }
                tracing::info!(%engine, "the engine is followed now");
                let health = SourceHealth::new(engine, metrics.clone(), readiness.of(engine));
                let (handle, registration) = AbortHandle::new_pair();
                let source =
                    Abortable::new(makes.source(engine).watch(changes.clone(), health), registration);
                under_way.push(Box::pin(async { Event::Ended { is_aborted: source.await.is_err() } }));
                followed.insert(engine, handle);
            }
            match under_way.next().await {
                Some(Event::Asked(engine, answers)) => {
                    choice.asked(engine, answers);
                    if !answers {
                        under_way.push(Box::pin(makes.ask(engine, makes.options.poll_interval)));
                    }
                }
                Some(Event::Ended { is_aborted: true }) => {}
                Some(Event::Ended { is_aborted: false }) | None => return,
            }
        }
    }
}

impl Makes {
    /// Asks after this time whether the engine answers.
    async fn ask(&self, engine: Engine, after: Duration) -> Event {
        tokio::time::sleep(after).await;
        let sockets = self.sockets(engine);
        let answers = async {
            match engine {
                Engine::Containerd => sockets.connect::<containerd::Client>().await.is_ok(),
                Engine::CriO => sockets.connect::<crio::Client>().await.is_ok(),
                Engine::Docker => sockets.connect::<docker::Client>().await.is_ok(),
                _ => false,
            }
        };
        Event::Asked(engine, tokio::time::timeout(ANSWER_TIME_MAX, answers).await.unwrap_or(false))
    }

    fn sockets(&self, engine: Engine) -> Sockets {
        Sockets::new(self.options.sockets(engine), engine, &self.processes.reads)
    }

    fn source(&self, engine: Engine) -> Box<dyn WorkloadSource> {
        match engine {
            Engine::Containerd => Box::new(self.containerd()),
            Engine::CriO => Box::new(self.crio()),
            Engine::Docker => Box::new(self.docker()),
            _ => {
                let Processes { tree, reads } = self.processes.clone();
                Box::new(Host::new(tree, reads, self.options.poll_interval))
            }
        }
    }

    fn containerd(&self) -> Containerd {
        Containerd::new(
            self.sockets(Engine::Containerd),
            self.processes.clone(),
            self.options.poll_interval,
            self.inspector.clone(),
            self.options.collect.entrypoint_arguments_max,
            self.losses.clone(),
            self.moby.clone(),
        )
        .away_since(self.away_since)
    }

    fn crio(&self) -> Crio {
        Crio::new(
            self.sockets(Engine::CriO),
            self.processes.clone(),
            self.options.poll_interval,
            self.options.collect.entrypoint_arguments_max,
        )
    }

    fn docker(&self) -> Docker {
        Docker::new(
            self.sockets(Engine::Docker),
            self.processes.clone(),
            self.options.poll_interval,
            self.options.collect.entrypoint_arguments_max,
            self.losses.clone(),
            self.moby.clone(),
        )
    }
}
