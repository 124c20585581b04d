//! Asks containerd and `/proc` about tasks. Each question has a deadline and ends by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, ClientError};
use super::container::{Container, TaskKey, workload};
use super::event::{Bundle, Exit};
use super::image::{ImageFound, Images};
use super::messages::{Task, TaskStatus, Time};
use super::table::{ListedTask, Verdict, Why};
use crate::blocking::blocking;
use crate::inspect::{InspectError, PreparedProgram, ProcessInspector, WaitingProcess, cap_arguments};
use crate::source::Processes;
use crate::workload::Workload;

/// The longest look-up of one task. What is not known by then is missing.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);
/// How long the engine's own event may come after a list that shows the same.
const EVENT_DELAY_MAX: Duration = Duration::from_millis(250);

/// A call that is refused so often is not made again.
const CALL_REFUSALS_MAX: u32 = 2;
/// The wait before a call is made again that did not reach containerd.
const CALL_PAUSE: Duration = Duration::from_millis(50);

type Held = Result<WaitingProcess, InspectError>;

/// What one connection knows of tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct TaskReader {
    pub(super) client: Client,
    pub(super) version: String,
    pub(super) processes: Processes,
    pub(super) inspector: ProcessInspector,
    pub(super) arguments_max: usize,
}

impl TaskReader {
    /// Every task of every namespace.
    pub(super) async fn list(self) -> Result<Vec<ListedTask>, ClientError> {
        let mut listed = Vec::new();
        for namespace in self.client.namespaces().await? {
            let asked = Time::now();
            let tasks = self.client.tasks(&namespace).await?;
            listed.extend(tasks.into_iter().map(|task| ListedTask {
                key: task_key(&namespace, &task),
                status: task.status(),
                exit: Exit::new(task.exited_at, task.exit_status),
                asked,
            }));
        }
        Ok(listed)
    }

    /// The workload of a task that was there at the time `seen`; `None` for the sandbox of a pod, which is none.
    pub(super) async fn look_up(self, key: TaskKey, seen: Time, why: Why) -> (TaskKey, Option<Workload>) {
        // First of all, since the process may end soon.
        let held = match why {
            Why::Created(ref bundle) => Some(self.hold(key.pid, bundle).await),
            Why::Started | Why::Listed => None,
        };
        let start_ticks = match &held {
            Some(Ok(waiting)) if waiting.start_ticks().is_some() => waiting.start_ticks(),
            _ => self.processes.start_ticks(key.pid).await,
        };
        let look = self.workload(&key, seen, start_ticks, held);
        let found = match why {
            // An event that comes meanwhile makes the list's word superfluous.
            Why::Listed => tokio::join!(in_time(look), tokio::time::sleep(EVENT_DELAY_MAX)).0,
            Why::Created(_) | Why::Started => in_time(look).await,
        };
        let found = found.unwrap_or_else(|| {
            let record = Err("containerd did not show the container in time");
            Some(workload(&key, &self.version, start_ticks, record, None))
        });
        let found = found.map(|mut found| {
            found.started_at = start_ticks.map(|ticks| self.processes.tree.start_time(ticks));
            found.entrypoint = cap_arguments(found.entrypoint, self.arguments_max);
            found
        });
        (key, found)
    }

    /// The process of a created container, which waits in its root. If the event came so late that it has ended, the root is
    /// still mounted in the task's directory until that is deleted.
    async fn hold(&self, pid: u32, Bundle(bundle): &Bundle) -> Held {
        let inspector = self.inspector.clone();
        let root = (!bundle.is_empty()).then(|| Path::new(bundle).join("rootfs"));
        blocking(move || {
            let held = inspector.hold(pid);
            match (&held, root) {
                (Err(_), Some(root)) => inspector.hold_ended(pid, &root).or(held),
                _ => held,
            }
        })
        .await
    }

    async fn workload(
        &self,
        key: &TaskKey,
        seen: Time,
        start_ticks: Option<u64>,
        held: Option<Held>,
    ) -> Option<Workload> {
        let record = match again(|| self.client.container(&key.namespace, &key.id)).await {
            Some(Some(record)) => Ok(Container::read(record)),
            Some(None) => Err("the container was gone before it could be asked for"),
            None => Err("containerd refused to show the container"),
        };
        if record.as_ref().is_ok_and(Container::is_pod_sandbox) {
            return None;
        }
        let is_younger = |record: &Container| !record.is_older_than(seen);
        let record = match record {
            Ok(record) if is_younger(&record) => Err("another container has got its id"),
            record => record,
        };
        let (image, prepared) = match &record {
            Ok(container) => {
                tokio::join!(self.image(&key.namespace, container), self.prepared(held, container))
            }
            Err(_) => (None, None),
        };
        let record = record.as_ref().map_err(|reason| *reason);
        let declared = record.ok().and_then(Container::process).filter(|_| prepared.is_none());
        let declared = declared.cloned().map(Arc::new);
        Some(Workload { prepared, declared, ..workload(key, &self.version, start_ticks, record, image) })
    }

    /// The program that the waiting process will execute.
    async fn prepared(&self, held: Option<Held>, container: &Container) -> Option<Arc<PreparedProgram>> {
        let declared = container.process()?.clone();
        let inspector = self.inspector.clone();
        Some(Arc::new(match held? {
            Ok(waiting) => blocking(move || inspector.resolve(waiting, &declared)).await,
            Err(error) => PreparedProgram::not_held(&error),
        }))
    }

    async fn image(&self, namespace: &str, container: &Container) -> Option<ImageFound> {
        let images = Images { client: &self.client, namespace };
        again(|| images.find(container)).await.unwrap_or_else(|| {
            container.image_name().map(|name| ImageFound {
                reference: name.to_owned(),
                without_digest: Some("containerd refused to show the image"),
            })
        })
    }

    /// Whether a task has ended that a list does not show as running. The kernel's word on its process counts more than
    /// containerd's: a list leaves out a task whose shim is slow.
    pub(super) async fn confirm(
        self,
        key: TaskKey,
        start_ticks: Option<u64>,
        listed: Option<Exit>,
    ) -> (TaskKey, Verdict) {
        tokio::time::sleep(EVENT_DELAY_MAX).await;
        let verdict = match listed {
            Some(exit) => Verdict::Ended(exit),
            None => self.verdict(&key, start_ticks).await,
        };
        (key, verdict)
    }

    async fn verdict(&self, key: &TaskKey, start_ticks: Option<u64>) -> Verdict {
        let is_running = self.processes.is_running(key.pid, start_ticks).await;
        if is_running == Some(true) {
            return Verdict::Runs;
        }
        let unknown = Verdict::Unknown { process_is_gone: is_running == Some(false) };
        let Ok(task) = self.client.task(&key.namespace, &key.id).await else { return unknown };
        let Some(task) = task else { return Verdict::Ended(Exit::default()) };
        match task.status() {
            // The container runs again.
            _ if task.pid != 0 && task.pid != key.pid => Verdict::Ended(Exit::default()),
            TaskStatus::Stopped => Verdict::Ended(Exit::new(task.exited_at, task.exit_status)),
            TaskStatus::Created | TaskStatus::Running | TaskStatus::Paused | TaskStatus::Pausing
                if is_running.is_none() =>
            {
                Verdict::Runs
            }
            _ => unknown,
        }
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LOOK_UP_MAX, work).await.ok()
}

/// Calls again after a failure. `None` if what was asked for cannot be had: that costs one workload a fact. While the
/// connection does not work, this waits for the next one, which asks anew.
async fn again<T, C>(call: impl Fn() -> C) -> Option<T>
where
    C: Future<Output = Result<T, ClientError>>,
{
    let mut refusals = 0;
    loop {
        match call().await {
            Ok(found) => return Some(found),
            Err(error) if error.ends_connection() => tokio::time::sleep(CALL_PAUSE).await,
            Err(error) => {
                refusals += 1;
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    refusals,
                    "containerd refused a call"
                );
                if refusals == CALL_REFUSALS_MAX {
                    return None;
                }
            }
        }
    }
}

fn task_key(namespace: &str, task: &Task) -> TaskKey {
    // In a list `id` names the container. Older servers set the other field.
    let id = if task.id.is_empty() { &task.container_id } else { &task.id };
    TaskKey { namespace: namespace.to_owned(), id: id.clone(), pid: task.pid }
}
