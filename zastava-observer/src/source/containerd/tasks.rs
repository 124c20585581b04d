//! Turns task events and lists into changes, in order.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::client::{Client, ClientError};
use super::container::{Container, TaskKey, workload};
use super::image::{ImageFound, Images};
use super::messages::{Any, Envelope, Task, TaskExit, TaskStart, TaskStatus, Time};
use super::{Processes, SessionEnd};
use crate::inspect::cap_arguments;
use crate::source::{Changes, SourceHealth};
use crate::workload::{Change, Workload};

/// The most tasks that are remembered: twice as many as the tracker follows. A node has hundreds.
const TASKS_MAX: usize = 16_384;

/// Watches the tasks of one connection.
pub(super) struct TaskWatcher {
    client: Client,
    version: String,
    processes: Processes,
    arguments_max: usize,
    changes: Changes,
    /// The tasks that run, with their workloads: only new tasks are looked up. `None` is a task that
    /// is no workload.
    known: HashMap<TaskKey, Option<Workload>>,
}

impl TaskWatcher {
    pub(super) fn new(
        client: Client,
        version: String,
        processes: Processes,
        arguments_max: usize,
        changes: Changes,
    ) -> Self {
        Self { client, version, processes, arguments_max, changes, known: HashMap::new() }
    }

    /// Handles queued events, and lists all tasks at once and then at each interval.
    pub(super) async fn run(
        &mut self,
        mut queued: mpsc::Receiver<Envelope>,
        interval: Duration,
        health: &mut SourceHealth,
    ) -> SessionEnd {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                biased;
                _ = ticks.tick() => self.list().await.map(|()| health.works()),
                Some(envelope) = queued.recv() => self.event(envelope).await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn list(&mut self) -> Result<(), SessionEnd> {
        let mut running = Vec::new();
        for namespace in self.client.namespaces().await? {
            let asked = now();
            for task in self.client.tasks(&namespace).await? {
                let key = task_key(&namespace, &task);
                match task.status() {
                    // After a restart of containerd the pid of a stopped task can still be there. The
                    // status decides here, and the process's cgroup when it is inspected.
                    TaskStatus::Running | TaskStatus::Paused | TaskStatus::Pausing if key.pid != 0 => {
                        running.push((key, asked));
                    }
                    // The exit event may be late or lost. The list holds the same facts.
                    TaskStatus::Stopped if self.known.contains_key(&key) => {
                        self.report_stop(&key, task.exited_at, task.exit_status).await?;
                    }
                    _ => {}
                }
            }
        }
        running.truncate(TASKS_MAX);
        let mut known = HashMap::with_capacity(running.len());
        for (key, asked) in running {
            let workload = match self.known.remove(&key) {
                Some(workload) => workload,
                None => self.look_up(&key, asked).await?,
            };
            known.insert(key, workload);
        }
        self.known = known;
        let workloads = self.known.values().flatten().cloned().collect();
        let listed = Change::Listed { engine: Engine::Containerd, workloads };
        Ok(self.changes.report(listed).await?)
    }

    async fn event(&mut self, envelope: Envelope) -> Result<(), SessionEnd> {
        let Some(Any { value, .. }) = &envelope.event else { return Ok(()) };
        match envelope.topic.as_str() {
            "/tasks/start" => {
                let Ok(start) = TaskStart::decode(&value[..]) else { return Ok(()) };
                let key = TaskKey { namespace: envelope.namespace, id: start.container_id, pid: start.pid };
                self.started(key, envelope.timestamp).await
            }
            "/tasks/exit" => {
                let Ok(exit) = TaskExit::decode(&value[..]) else { return Ok(()) };
                // Another process of the container, such as that of an exec, can end alone.
                if exit.id != exit.container_id {
                    return Ok(());
                }
                let key = TaskKey { namespace: envelope.namespace, id: exit.container_id, pid: exit.pid };
                let at = exit.exited_at.or(envelope.timestamp);
                self.report_stop(&key, at, exit.exit_status).await
            }
            _ => Ok(()),
        }
    }

    async fn started(&mut self, key: TaskKey, at: Option<Time>) -> Result<(), SessionEnd> {
        let mut workload = self.look_up(&key, at.unwrap_or_else(now)).await?;
        if let Some(workload) = &mut workload {
            workload.started_at = at.map(timestamp);
            self.changes.report(Change::Started(Box::new(workload.clone()))).await?;
        }
        if self.known.len() < TASKS_MAX {
            self.known.insert(key, workload);
        }
        Ok(())
    }

    async fn report_stop(&self, key: &TaskKey, at: Option<Time>, exit_status: u32) -> Result<(), SessionEnd> {
        let at = at.map_or_else(Timestamp::now, timestamp);
        let (engine, pid, exit_status) = (Engine::Containerd, key.pid, Some(exit_status));
        let stopped = Change::Stopped { engine, key: key.workload(), pid, at, exit_status };
        Ok(self.changes.report(stopped).await?)
    }

    /// The workload of a task that was there at the time `seen`; `None` for the sandbox of a pod, which is none.
    async fn look_up(&self, key: &TaskKey, seen: Time) -> Result<Option<Workload>, ClientError> {
        // First of all, since the process may end soon.
        let start_ticks = self.processes.start_ticks(key.pid).await;
        let record = match again(|| self.client.container(&key.namespace, &key.id)).await? {
            Some(Some(record)) => Ok(Container::read(record)),
            Some(None) => Err("the container was gone before it could be asked for"),
            None => Err("containerd refused to show the container"),
        };
        if record.as_ref().is_ok_and(Container::is_pod_sandbox) {
            return Ok(None);
        }
        let is_younger = |record: &Container| !record.is_older_than(seen);
        let record = match record {
            Ok(record) if is_younger(&record) => Err("another container has got its id"),
            record => record,
        };
        let image = match &record {
            Ok(container) => self.image(&key.namespace, container).await?,
            Err(_) => None,
        };
        let record = record.as_ref().map_err(|reason| *reason);
        let mut found = workload(key, &self.version, start_ticks, record, image);
        found.entrypoint = cap_arguments(found.entrypoint, self.arguments_max);
        Ok(Some(found))
    }

    async fn image(&self, namespace: &str, container: &Container) -> Result<Option<ImageFound>, ClientError> {
        let images = Images { client: &self.client, namespace };
        Ok(match again(|| images.find(container)).await? {
            Some(found) => found,
            None => container.image_name().map(|name| ImageFound {
                reference: name.to_owned(),
                without_digest: Some("containerd refused to show the image"),
            }),
        })
    }
}

/// Calls a second time after a failure. `None` if what was asked for cannot be had: that costs one workload a fact, while an
/// error ends the connection, which another one may mend.
async fn again<T, C>(call: impl Fn() -> C) -> Result<Option<T>, ClientError>
where
    C: Future<Output = Result<T, ClientError>>,
{
    let failed = match call().await {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    if failed.is_of_connection() {
        return Err(failed);
    }
    match call().await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_of_connection() => Err(error),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "containerd refused a call twice");
            Ok(None)
        }
    }
}

fn task_key(namespace: &str, task: &Task) -> TaskKey {
    // In a list `id` names the container. Older servers set the other field.
    let id = if task.id.is_empty() { &task.container_id } else { &task.id };
    TaskKey { namespace: namespace.to_owned(), id: id.clone(), pid: task.pid }
}

fn timestamp(time: Time) -> Timestamp {
    let nanos = u64::try_from(time.nanos).unwrap_or(0);
    Timestamp::from_unix_seconds(time.seconds).saturating_add(Duration::from_nanos(nanos))
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Time { seconds, nanos: since.subsec_nanos().cast_signed() }
}
