//! Asks containerd and `/proc` about tasks. Each question has a deadline and ends by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::capture::Captured;
use super::client::{Client, ClientError};
use super::container::{Container, TaskKey, workload};
use super::event::Exit;
use super::image::{ImageFound, Images};
use super::messages::{Task, TaskStatus, Time};
use super::table::{ListedTask, Verdict, Why};
use crate::inspect::{ProcessInspector, cap_arguments};
use crate::source::Processes;
use crate::source::oci_spec::OciSpec;
use crate::workload::Workload;

/// The longest look-up of one task. What is not known by then is missing.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);
/// How long the engine's own event may come after a list that shows the same.
const EVENT_DELAY_MAX: Duration = Duration::from_millis(250);

/// A call that is refused so often is not made again.
const CALL_REFUSALS_MAX: u32 = 2;
/// The wait before a call is made again that did not reach containerd.
const CALL_PAUSE: Duration = Duration::from_millis(50);

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
        let until = Instant::now() + LOOK_UP_MAX;
        let look = async {
            let (captured, record) =
                tokio::join!(self.capture(key.pid, &why), self.record(&key, seen, until));
            self.workload(&key, captured, record, until).await
        };
        let found = match why {
            // An event that comes meanwhile makes the list's word superfluous.
            Why::Listed => tokio::join!(look, tokio::time::sleep(EVENT_DELAY_MAX)).0,
            Why::Created(_) | Why::Started => look.await,
        };
        (key, found)
    }

    /// What has to be read at once, since the process may end soon.
    async fn capture(&self, pid: u32, why: &Why) -> Captured {
        match why {
            Why::Created(bundle) => {
                let (inspector, processes) = (self.inspector.clone(), self.processes.clone());
                Captured::created(inspector, processes, pid, bundle.clone()).await
            }
            Why::Started | Why::Listed => Captured::started(&self.processes, pid).await,
        }
    }

    /// The container's record, or why there is none.
    async fn record(&self, key: &TaskKey, seen: Time, until: Instant) -> Result<Container, &'static str> {
        let asked = again(|| self.client.container(&key.namespace, &key.id));
        match tokio::time::timeout_at(until, asked).await {
            Ok(Some(Some(record))) => {
                let found = Container::read(record);
                if found.is_older_than(seen) { Ok(found) } else { Err("another container has got its id") }
            }
            Ok(Some(None)) => Err("the container was gone before it could be asked for"),
            Ok(None) => Err("containerd refused to show the container"),
            Err(_) => Err("containerd did not show the container in time"),
        }
    }

    async fn workload(
        &self,
        key: &TaskKey,
        mut captured: Captured,
        record: Result<Container, &'static str>,
        until: Instant,
    ) -> Option<Workload> {
        if record.as_ref().is_ok_and(Container::is_pod_sandbox) {
            return None;
        }
        let (start_ticks, bundled) = (captured.start_ticks, captured.spec.take());
        let spec = record.as_ref().ok().and_then(Container::spec).or(bundled.as_ref());
        let image = async {
            let container = record.as_ref().ok()?;
            let image = self.image(&key.namespace, container, until).await?;
            let declared = self.image_entrypoint(&key.namespace, container, &image, until).await;
            Some((image, declared))
        };
        let program = captured.program(self.inspector.clone(), spec.map(OciSpec::process));
        let (image, prepared) = tokio::join!(image, program);
        let (image, image_entrypoint) = image.unzip();
        let record = record.as_ref().map_err(|reason| *reason);
        let mut found = workload(key, &self.version, start_ticks, record, spec, image);
        found.started_at = start_ticks.map(|ticks| self.processes.tree.start_time(ticks));
        found.entrypoint = cap_arguments(found.entrypoint, self.arguments_max);
        found.declared = spec.filter(|_| prepared.is_none()).map(|spec| Arc::new(spec.process().clone()));
        found.prepared = prepared.map(Arc::new);
        found.image_entrypoint = image_entrypoint.unwrap_or_default();
        Some(found)
    }

    async fn image(&self, namespace: &str, container: &Container, until: Instant) -> Option<ImageFound> {
        let images = Images { client: &self.client, namespace };
        let missing = |reason| {
            container
                .image_name()
                .map(|name| ImageFound { reference: name.to_owned(), without_digest: Some(reason) })
        };
        match tokio::time::timeout_at(until, again(|| images.find(container))).await {
            Ok(Some(found)) => found,
            Ok(None) => missing("containerd refused to show the image"),
            Err(_) => missing("containerd did not show the image in time"),
        }
    }

    /// What the image declares to be executed; nothing if containerd does not show it.
    async fn image_entrypoint(
        &self,
        namespace: &str,
        container: &Container,
        image: &ImageFound,
        until: Instant,
    ) -> Vec<String> {
        let images = Images { client: &self.client, namespace };
        let asked = tokio::time::timeout_at(until, again(|| images.entrypoint(container, image))).await;
        cap_arguments(asked.ok().flatten().unwrap_or_default(), self.arguments_max)
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
