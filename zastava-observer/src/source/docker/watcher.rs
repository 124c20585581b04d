//! Turns events and lists of Docker Engine into changes, in order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::Docker;
use super::answers::{Event, Facts, Image};
use super::arrivals::InHand;
use super::client::Client;
use super::container::{Main, Record, workload};
use super::error::ClientError;
use crate::inspect::cap_arguments;
use crate::source::runs::Runs;
use crate::source::session::Ended;
use crate::source::{Changes, SourceHealth};
use crate::workload::{Change, Workload};

/// While the stream of events works, a list comes after so many intervals. It only finds what Docker left out of the stream.
const INTERVALS_BETWEEN_LISTS: u32 = 15;
/// A container in a list that started so shortly before is left to its event.
const YOUNG: Duration = Duration::from_secs(2);
/// The most containers that are looked up at once.
const LOOK_UPS_MAX: usize = 8;
/// The most images that are remembered.
const IMAGES_MAX: usize = 256;

/// Watches the containers of one connection.
pub(super) struct Watcher<'a> {
    pub(super) client: &'a Client,
    pub(super) version: String,
    pub(super) docker: &'a Docker,
    pub(super) changes: &'a Changes,
    pub(super) runs: &'a mut Runs,
    /// Whether every container was listed once, on this connection or one before.
    pub(super) was_listed: &'a mut bool,
    /// By id.
    pub(super) images: HashMap<String, Image>,
}

/// What became of a look-up of a container.
type LookedUp = Result<Option<Facts>, ClientError>;

impl Watcher<'_> {
    /// Handles queued events, and lists all containers at once and then now and again. `gap` asks for a list at once.
    pub(super) async fn run(
        &mut self,
        queued: &mut mpsc::Receiver<Event>,
        gap: &Notify,
        health: &mut SourceHealth,
    ) -> Ended {
        let (mut next_list, interval) = (Instant::now(), self.docker.interval);
        loop {
            let done = tokio::select! {
                // Events first: a list after them marks nothing as found by listing that an event tells.
                biased;
                Some(event) = queued.recv() => self.event(&event).await,
                () = gap.notified() => {
                    next_list = Instant::now();
                    Ok(Next::Unchanged)
                }
                () = tokio::time::sleep_until(next_list) => {
                    let asked = Instant::now();
                    self.list().await.inspect(|_| {
                        health.works();
                        health.metrics().listed(Engine::Docker, asked.elapsed());
                    })
                }
            };
            match done {
                Ok(Next::Unchanged) => {}
                Ok(Next::ListSoon) => next_list = next_list.min(Instant::now() + interval),
                Ok(Next::Listed { is_complete }) => {
                    let intervals = if is_complete { INTERVALS_BETWEEN_LISTS } else { 1 };
                    next_list = Instant::now() + interval * intervals;
                }
                Err(ended) => return ended,
            }
        }
    }

    async fn event(&mut self, event: &Event) -> Result<Next, Ended> {
        let mut in_hand = InHand { losses: &self.docker.losses, event, is_handled: false };
        let next = match event.action.as_str() {
            "start" => self.started(event).await,
            "die" => self.died(event).await,
            _ => Ok(Next::Unchanged),
        };
        in_hand.is_handled = next.is_ok();
        next
    }

    async fn started(&mut self, event: &Event) -> Result<Next, Ended> {
        let (id, at) = (event.actor.id.as_str(), event.at());
        let facts = match self.client.container(id).await {
            Err(error) if error.is_of_one() => return Ok(Next::ListSoon),
            facts => facts?,
        };
        self.runs.starts(id);
        // Docker is asked after the event: what it says may be of the container's next run.
        let is_of_this_run = |facts: &Facts| facts.state.started_at().is_some_and(|began| began <= at);
        let pid =
            facts.as_ref().filter(|facts| is_of_this_run(facts)).and_then(|facts| facts.state.main_process());
        let main = match pid {
            Some(pid) => self.main(pid, facts.as_ref().and_then(|facts| facts.state.started_at())).await,
            None => Main { started_at: Some(at), ..Main::default() },
        };
        let main = self.captured(id, at, main).await;
        self.tell(event, facts.as_ref(), main).await?;
        Ok(Next::Unchanged)
    }

    async fn died(&mut self, event: &Event) -> Result<Next, Ended> {
        let (id, at) = (event.actor.id.as_str(), event.at());
        if self.runs.has_ended(id) {
            return Ok(Next::Unchanged);
        }
        match self.runs.get(id) {
            // The end of the run before, which a list has found already.
            Some(run) if run.workload.started_at.is_some_and(|began| began > at) => {
                return Ok(Next::Unchanged);
            }
            Some(_) => {}
            // Its start was left out of the stream, or came before the stream.
            None => {
                let facts = match self.client.container(id).await {
                    Err(error) if error.is_of_one() => None,
                    facts => facts?,
                };
                let began = facts.as_ref().and_then(|facts| facts.state.started_at());
                let started_at = Some(began.filter(|began| *began <= at).unwrap_or(at));
                self.tell(event, facts.as_ref(), Main { started_at, ..Main::default() }).await?;
            }
        }
        self.tell_end(id, at, event.exit_code(), false).await?;
        Ok(Next::Unchanged)
    }

    /// With what containerd's source read of the container before its program ran.
    async fn captured(&self, id: &str, started: Timestamp, main: Main) -> Main {
        let Some(captured) = self.docker.moby.take(id, started).await else { return main };
        match main.pid {
            0 => Main {
                pid: captured.pid,
                start_ticks: captured.start_ticks,
                prepared: captured.prepared,
                ..main
            },
            pid if pid == captured.pid => Main { prepared: captured.prepared, ..main },
            _ => main,
        }
    }

    async fn list(&mut self) -> Result<Next, Ended> {
        let asked = Timestamp::now();
        let listed: HashSet<String> =
            self.client.containers().await?.into_iter().map(|container| container.id).collect();
        let missing: Vec<String> = self.runs.ids().into_iter().filter(|id| !listed.contains(id)).collect();
        let mut unknown = Vec::new();
        for id in listed {
            match self.still_runs(&id).await {
                true => self.runs.found(&id),
                false => unknown.push(id),
            }
        }
        let (mut is_complete, mut is_certain) = (true, true);
        for (id, looked_up) in self.look_up(unknown).await {
            is_certain &= looked_up.is_ok();
            is_complete &= self.is_running(&id, looked_up, asked).await?;
        }
        for (id, looked_up) in self.look_up(missing).await {
            is_complete &= self.is_missing(&id, looked_up).await?;
        }
        // What this leaves out has stopped while the observer was away. So a container without facts must not be left out.
        if is_certain {
            let listed = Change::Listed { engine: Engine::Docker, workloads: self.runs.workloads() };
            self.changes.report(listed).await?;
            *self.was_listed = true;
        }
        Ok(Next::Listed { is_complete })
    }

    /// Whether the process that is known of the container still runs. A list names the container alone, which may have been
    /// started again.
    async fn still_runs(&self, id: &str) -> bool {
        let Some(run) = self.runs.get(id) else { return false };
        let ticks = run.workload.start_ticks;
        ticks.is_some() && self.docker.processes.start_ticks(run.workload.pid).await == ticks
    }

    async fn look_up(&self, ids: Vec<String>) -> Vec<(String, LookedUp)> {
        let look_up = |id: String| async {
            let looked_up = self.client.container(&id).await;
            (id, looked_up)
        };
        stream::iter(ids).map(look_up).buffer_unordered(LOOK_UPS_MAX).collect().await
    }

    /// A list names a container with another run than the one that is known. False if the next list has to tell it.
    async fn is_running(&mut self, id: &str, looked_up: LookedUp, asked: Timestamp) -> Result<bool, Ended> {
        let facts = match looked_up {
            Err(error) if error.is_of_one() => return Ok(false),
            looked_up => looked_up?,
        };
        let Some(facts) = facts else { return Ok(true) };
        let (Some(pid), Some(began)) = (facts.state.main_process(), facts.state.started_at()) else {
            return Ok(false);
        };
        if self
            .runs
            .get(id)
            .is_some_and(|run| (run.workload.pid, run.workload.started_at) == (pid, Some(began)))
        {
            self.runs.found(id);
            return Ok(true);
        }
        // The first list is of what ran before: the tracker may know it from an earlier run of the observer.
        if *self.was_listed && began.saturating_add(YOUNG) > asked {
            return Ok(false);
        }
        let main = self.main(pid, Some(began)).await;
        let workload = self.workload(id, main, Ok(&facts)).await?;
        self.runs.starts(id);
        self.runs.begin(id, workload.clone());
        self.changes.report(Change::Found(Box::new(workload))).await?;
        Ok(true)
    }

    /// A list does not name a container that is known. False if the next list has to tell what became of it.
    async fn is_missing(&mut self, id: &str, looked_up: LookedUp) -> Result<bool, Ended> {
        match looked_up {
            Err(error) if error.is_of_one() => Ok(false),
            Err(error) => Err(error.into()),
            // Its end may be among the events that wait.
            Ok(None) => match self.runs.miss(id) {
                Some(workload) => {
                    self.report_end(workload, Timestamp::now(), None, true).await?;
                    Ok(true)
                }
                None => Ok(self.runs.get(id).is_none()),
            },
            Ok(Some(facts)) if facts.state.running => Ok(false),
            Ok(Some(facts)) => {
                let at = facts.state.finished_at().unwrap_or_else(Timestamp::now);
                let exit_code = u32::try_from(facts.state.exit_code).ok();
                self.tell_end(id, at, exit_code, true).await?;
                Ok(true)
            }
        }
    }

    async fn main(&self, pid: u32, started_at: Option<Timestamp>) -> Main {
        Main { pid, start_ticks: self.docker.processes.start_ticks(pid).await, started_at, prepared: None }
    }

    /// Reports a start.
    async fn tell(&mut self, event: &Event, facts: Option<&Facts>, main: Main) -> Result<(), Ended> {
        let id = event.actor.id.as_str();
        let workload = self.workload(id, main, facts.ok_or(event)).await?;
        self.runs.begin(id, workload.clone());
        Ok(self.changes.report(Change::Started(Box::new(workload))).await?)
    }

    async fn tell_end(
        &mut self,
        id: &str,
        at: Timestamp,
        exit_status: Option<u32>,
        reconciled: bool,
    ) -> Result<(), Ended> {
        match self.runs.end(id) {
            Some(workload) => self.report_end(workload, at, exit_status, reconciled).await,
            None => Ok(()),
        }
    }

    async fn report_end(
        &self,
        workload: Workload,
        at: Timestamp,
        exit_status: Option<u32>,
        reconciled: bool,
    ) -> Result<(), Ended> {
        let (engine, key, pid) = (Engine::Docker, workload.key, workload.pid);
        Ok(self.changes.report(Change::Stopped { engine, key, pid, at, exit_status, reconciled }).await?)
    }

    async fn workload(
        &mut self,
        id: &str,
        main: Main,
        record: Result<&Facts, &Event>,
    ) -> Result<Workload, ClientError> {
        let image = match record {
            Ok(facts) => self.image(&facts.image).await?,
            Err(_) => None,
        };
        let record = match record {
            Ok(facts) => Record::Found { facts, image: image.as_ref() },
            Err(event) => {
                let reason = "the container was gone before it could be asked for";
                Record::Missing { attributes: &event.actor.attributes, reason }
            }
        };
        let mut found = workload(id, &self.version, main, &record);
        found.entrypoint = cap_arguments(found.entrypoint, self.docker.arguments_max);
        found.image_entrypoint = cap_arguments(found.image_entrypoint, self.docker.arguments_max);
        Ok(found)
    }

    /// The image with this id. A repository's digest may come to it later, with a push.
    async fn image(&mut self, id: &str) -> Result<Option<Image>, ClientError> {
        let has_digest = |image: &Image| image.repo_digests.as_ref().is_some_and(|all| !all.is_empty());
        if !self.images.get(id).is_some_and(has_digest) {
            let image = match self.client.image(id).await {
                Err(error) if error.is_of_one() => None,
                image => image?,
            };
            if self.images.len() >= IMAGES_MAX {
                self.images.clear();
            }
            match image {
                Some(image) => drop(self.images.insert(id.to_owned(), image)),
                None => drop(self.images.remove(id)),
            }
        }
        Ok(self.images.get(id).cloned())
    }
}

/// When the next list is due.
enum Next {
    Unchanged,
    ListSoon,
    Listed { is_complete: bool },
}
