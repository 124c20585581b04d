//! Turns lists and events of CRI-O into changes, in order.
//!
//! CRI-O does not start a container a second time, so an id is one run. An event only says which container to look at.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::Crio;
use super::client::Client;
use super::container::Container;
use super::error::ClientError;
use super::messages::{Event, Image, State};
use crate::inspect::cap_arguments;
use crate::source::runs::Runs;
use crate::source::session::Ended;
use crate::source::{Changes, SourceHealth};
use crate::workload::{Change, Workload};

/// Once the stream of events has shown that it works, a list comes after so many intervals.
const INTERVALS_BETWEEN_LISTS: u32 = 15;
/// The most containers that are looked up at once.
const LOOK_UPS_MAX: usize = 8;
/// The most images that are remembered.
const IMAGES_MAX: usize = 256;

/// What outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Memory {
    runs: Runs,
    /// The containers that had ended when they were listed last. CRI-O lists them until the kubelet removes them.
    /// `None` before the first list.
    ended: Option<HashSet<String>>,
}

/// Watches the containers of one connection.
pub(super) struct Watcher<'a> {
    pub(super) client: &'a Client,
    pub(super) version: String,
    pub(super) crio: &'a Crio,
    pub(super) changes: &'a Changes,
    pub(super) memory: &'a mut Memory,
    /// By id.
    pub(super) images: HashMap<String, Image>,
    /// Whether there was a list. The first one shows what happened while nobody was connected.
    pub(super) was_listed: bool,
}

impl Watcher<'_> {
    /// Lists all containers at once and then at each interval, rarely while events come.
    pub(super) async fn run(
        &mut self,
        mut queued: mpsc::Receiver<Event>,
        health: &mut SourceHealth,
    ) -> Ended {
        let (mut next_list, mut has_events) = (Instant::now(), false);
        let interval = self.crio.interval;
        loop {
            let done = tokio::select! {
                biased;
                () = tokio::time::sleep_until(next_list) => {
                    let intervals = if has_events { INTERVALS_BETWEEN_LISTS } else { 1 };
                    next_list = Instant::now() + interval * intervals;
                    let asked = Instant::now();
                    self.list().await.inspect(|()| {
                        health.works();
                        health.metrics().listed(Engine::CriO, asked.elapsed());
                    })
                }
                Some(event) = queued.recv() => {
                    has_events = true;
                    self.look_at(&event.container_id).await
                }
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn list(&mut self) -> Result<(), Ended> {
        let listed: HashMap<String, State> =
            self.client.containers().await?.into_iter().map(|one| (one.id.clone(), one.state())).collect();
        let of_state = |state| {
            let listed = listed.iter().filter(move |(_, found)| **found == state);
            listed.map(|(id, _)| id.clone()).collect::<HashSet<String>>()
        };
        let (running, ended) = (of_state(State::Running), of_state(State::Exited));
        for id in self.memory.runs.ids() {
            match running.contains(&id) {
                true => self.memory.runs.found(&id),
                false => self.is_missing(&id).await?,
            }
        }
        // What is found by the first list of all ran before. A container that ended between two lists ran between them.
        let is_first = self.memory.ended.is_none();
        let known = self.memory.ended.replace(ended.clone()).unwrap_or_default();
        let is_new = |id: &&String| self.memory.runs.get(id).is_none() && !self.memory.runs.has_ended(id);
        let mut unknown: Vec<String> = running.iter().filter(is_new).cloned().collect();
        if !is_first {
            unknown.extend(ended.difference(&known).filter(is_new).cloned());
        }
        let mut is_certain = true;
        for (id, looked_up) in self.look_up(unknown).await {
            match looked_up {
                Err(error) if error.is_of_one() => {
                    is_certain = false;
                    // The next list tells it.
                    if let Some(ended) = &mut self.memory.ended {
                        ended.remove(&id);
                    }
                }
                looked_up => self.found(looked_up?).await?,
            }
        }
        self.was_listed = true;
        // What this leaves out has stopped while the observer was away. So a container without facts must not be left out.
        if is_certain {
            let listed = Change::Listed { engine: Engine::CriO, workloads: self.memory.runs.workloads() };
            self.changes.report(listed).await?;
        }
        Ok(())
    }

    /// An event names the container.
    async fn look_at(&mut self, id: &str) -> Result<(), Ended> {
        if self.memory.runs.has_ended(id) {
            return Ok(());
        }
        match self.status(id).await {
            // The next list tells it.
            Err(error) if error.is_of_one() => Ok(()),
            looked_up => self.found(looked_up?).await,
        }
    }

    async fn look_up(&self, ids: Vec<String>) -> Vec<(String, Result<Option<Container>, ClientError>)> {
        let look_up = |id: String| async {
            let looked_up = self.status(&id).await;
            (id, looked_up)
        };
        stream::iter(ids).map(look_up).buffer_unordered(LOOK_UPS_MAX).collect().await
    }

    /// `None` if the container does not exist any more.
    async fn status(&self, id: &str) -> Result<Option<Container>, ClientError> {
        Ok(self.client.status(id).await?.and_then(Container::read))
    }

    /// Reports what is new about the container.
    async fn found(&mut self, container: Option<Container>) -> Result<(), Ended> {
        let Some(container) = container else { return Ok(()) };
        let (id, state) = (container.status.id.clone(), container.state());
        // A container that was made has a pod, and no process yet: the start of its program is told later.
        if matches!(state, State::Created | State::Unknown) || container.started_at().is_none() {
            return Ok(());
        }
        if self.memory.runs.get(&id).is_none() {
            let workload = self.workload(&container).await?;
            self.memory.runs.begin(&id, workload.clone());
            // Once there was a list, lists are how CRI-O tells what happens.
            let workload = Box::new(workload);
            let change = if self.was_listed { Change::Started(workload) } else { Change::Found(workload) };
            self.changes.report(change).await?;
        }
        match state {
            State::Exited => self.tell_end(&container).await,
            _ => Ok(()),
        }
    }

    /// A list does not say that the container runs.
    async fn is_missing(&mut self, id: &str) -> Result<(), Ended> {
        match self.status(id).await {
            Err(error) if error.is_of_one() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(Some(container)) if container.state() == State::Exited => self.tell_end(&container).await,
            Ok(Some(_)) => Ok(()),
            Ok(None) => match self.memory.runs.miss(id) {
                Some(workload) => self.report_end(workload, Timestamp::now(), None, true).await,
                None => Ok(()),
            },
        }
    }

    async fn tell_end(&mut self, container: &Container) -> Result<(), Ended> {
        let at = container.finished_at().unwrap_or_else(Timestamp::now);
        match self.memory.runs.end(&container.status.id) {
            Some(workload) => self.report_end(workload, at, container.exit_status(), !self.was_listed).await,
            None => Ok(()),
        }
    }

    async fn report_end(
        &self,
        Workload { key, pid, .. }: Workload,
        at: Timestamp,
        exit_status: Option<u32>,
        reconciled: bool,
    ) -> Result<(), Ended> {
        let engine = Engine::CriO;
        Ok(self.changes.report(Change::Stopped { engine, key, pid, at, exit_status, reconciled }).await?)
    }

    async fn workload(&mut self, container: &Container) -> Result<Workload, ClientError> {
        let pid = container.main_process();
        let start_ticks = match pid {
            Some(pid) => self.crio.processes.start_ticks(pid).await,
            None => None,
        };
        let image = self.image(container.image_key()).await?;
        let mut found = container.workload(&self.version, pid, start_ticks, image.as_ref());
        found.entrypoint = cap_arguments(found.entrypoint, self.crio.arguments_max);
        Ok(found)
    }

    async fn image(&mut self, key: &str) -> Result<Option<Image>, ClientError> {
        if key.is_empty() || self.images.contains_key(key) {
            return Ok(self.images.get(key).cloned());
        }
        let image = match self.client.image(key).await {
            Err(error) if error.is_of_one() => None,
            image => image?,
        };
        if self.images.len() >= IMAGES_MAX {
            self.images.clear();
        }
        self.images.extend(image.clone().map(|image| (key.to_owned(), image)));
        Ok(image)
    }
}
