//! containerd through its own API: a subscription for speed, lists for truth.
//!
//! The stream is read into a bounded queue at once, since containerd keeps for a slow reader without
//! bound. When the queue is full the connection is dropped and everything is listed anew. Every list
//! is a whole snapshot, so that what the stream did not tell is found within the poll interval.

mod client;
mod facts;
mod messages;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use zastava_core::clock::Timestamp;

use self::client::{Client, ClientError, refused};
use self::facts::{Record, TaskKey};
use self::messages::{Any, Envelope, Task, TaskExit, TaskStart, TaskStatus, Time};
use super::{Change, Changes, Closed, Container, ContainerRuntime, SourceCondition};
use crate::backoff::Backoff;
use crate::process::{ProcTree, cap_arguments};

/// Task events that wait for their facts.
const QUEUE_EVENTS_MAX: usize = 4096;
/// Tasks that are followed, twice as many as the tracker takes; a node has hundreds.
const TASKS_MAX: usize = 16_384;
const BACKOFF_INITIAL: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one: the next failure starts the back-off anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// Watches one containerd.
#[derive(Debug)]
pub(crate) struct Containerd {
    sockets: Vec<PathBuf>,
    tree: ProcTree,
    interval: Duration,
    arguments_max: usize,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("containerd ended the stream of events")]
    StreamEnded,
    #[error(
        "more than {QUEUE_EVENTS_MAX} task events wait: the connection is dropped and everything listed anew"
    )]
    Overflow,
    #[error("no containerd socket is configured")]
    NoSocket,
    #[error("nobody listens")]
    Closed,
}

impl From<Closed> for SessionError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Containerd {
    pub(crate) fn new(
        sockets: Vec<PathBuf>,
        tree: ProcTree,
        interval: Duration,
        arguments_max: usize,
    ) -> Self {
        Self { sockets, tree, interval, arguments_max }
    }

    /// Whether any of the sockets answers as containerd does.
    pub(crate) async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// The first socket that answers, and the version behind it.
    async fn connect(&self) -> Result<(Client, String), SessionError> {
        let mut failure = SessionError::NoSocket;
        for socket in &self.sockets {
            let answered = async {
                let client = Client::connect(socket).await?;
                let version = client.version().await?;
                Ok::<_, ClientError>((client, version))
            };
            match answered.await {
                Ok(connected) => return Ok(connected),
                // The first socket is the one that was meant; its failure is the one to tell.
                Err(error) if matches!(failure, SessionError::NoSocket) => failure = error.into(),
                Err(_) => {}
            }
        }
        Err(failure)
    }

    async fn session(&self, changes: &Changes, condition: &mut SourceCondition) -> SessionError {
        let (client, version) = match self.connect().await {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        let (queue, queued) = mpsc::channel(QUEUE_EVENTS_MAX);
        let stream = read_stream(client.clone(), queue);
        let mut worker = Worker { client, version, engine: self, changes, known: HashMap::new() };
        // Subscribe first, list second: what happens in between is told by both and suppressed once.
        tokio::select! {
            biased;
            error = stream => error,
            error = worker.run(queued, self.interval, condition) => error,
        }
    }
}

#[async_trait]
impl ContainerRuntime for Containerd {
    async fn watch(self: Box<Self>, changes: Changes, mut condition: SourceCondition) {
        let mut backoff = Backoff::new(BACKOFF_INITIAL, BACKOFF_MAX);
        loop {
            let started = Instant::now();
            match self.session(&changes, &mut condition).await {
                SessionError::Closed => return,
                error => condition.failed(&error),
            }
            if started.elapsed() >= GOOD_CONNECTION {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

/// Takes every event from the stream the moment it comes.
async fn read_stream(client: Client, queue: mpsc::Sender<Envelope>) -> SessionError {
    let mut stream = match client.subscribe().await {
        Ok(stream) => stream,
        Err(error) => return error.into(),
    };
    loop {
        match stream.message().await {
            Ok(Some(envelope)) => {
                if queue.try_send(envelope).is_err() {
                    return SessionError::Overflow;
                }
            }
            Ok(None) => return SessionError::StreamEnded,
            Err(status) => return refused("Events/Subscribe", status).into(),
        }
    }
}

/// Turns task events and lists into changes, in order.
struct Worker<'a> {
    client: Client,
    version: String,
    engine: &'a Containerd,
    changes: &'a Changes,
    /// What the last list named, with its facts: only new tasks are asked for.
    known: HashMap<TaskKey, Option<Container>>,
}

impl Worker<'_> {
    async fn run(
        &mut self,
        mut queued: mpsc::Receiver<Envelope>,
        interval: Duration,
        condition: &mut SourceCondition,
    ) -> SessionError {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                biased;
                _ = ticks.tick() => self.list().await.map(|()| condition.works()),
                Some(envelope) = queued.recv() => self.event(envelope).await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn list(&mut self) -> Result<(), SessionError> {
        let mut running = Vec::new();
        for namespace in self.client.namespaces().await? {
            for task in self.client.tasks(&namespace).await? {
                let key = task_key(&namespace, &task);
                match task.status() {
                    // A process id can outlive the process after a restart of containerd: the status
                    // decides, and later the process's cgroup.
                    TaskStatus::Running | TaskStatus::Paused | TaskStatus::Pausing if key.pid != 0 => {
                        running.push(key);
                    }
                    // Its exit event may still be on its way, or was lost: the list tells as much.
                    TaskStatus::Stopped if self.known.contains_key(&key) => {
                        self.stopped(&key, task.exited_at, task.exit_status).await?;
                    }
                    _ => {}
                }
            }
        }
        running.truncate(TASKS_MAX);
        let mut known = HashMap::with_capacity(running.len());
        for key in running {
            let container = match self.known.remove(&key) {
                Some(container) => container,
                None => self.facts(&key).await?,
            };
            known.insert(key, container);
        }
        self.known = known;
        let containers = self.known.values().flatten().cloned().collect();
        Ok(self.changes.send(Change::Snapshot(containers)).await?)
    }

    async fn event(&mut self, envelope: Envelope) -> Result<(), SessionError> {
        let Some(Any { value, .. }) = envelope.event else { return Ok(()) };
        match envelope.topic.as_str() {
            "/tasks/start" => {
                let Ok(start) = TaskStart::decode(&value[..]) else { return Ok(()) };
                let key = TaskKey { namespace: envelope.namespace, id: start.container_id, pid: start.pid };
                let mut container = self.facts(&key).await?;
                if let Some(container) = &mut container {
                    container.started_at = envelope.timestamp.map(timestamp);
                    self.changes.send(Change::Started(Box::new(container.clone()))).await?;
                }
                if self.known.len() < TASKS_MAX {
                    self.known.insert(key, container);
                }
            }
            "/tasks/exit" => {
                let Ok(exit) = TaskExit::decode(&value[..]) else { return Ok(()) };
                // The end of a process that was started in the container is not the container's.
                if exit.id == exit.container_id {
                    let key = TaskKey { namespace: envelope.namespace, id: exit.container_id, pid: exit.pid };
                    let at = exit.exited_at.or(envelope.timestamp);
                    self.stopped(&key, at, exit.exit_status).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn stopped(&self, key: &TaskKey, at: Option<Time>, exit_status: u32) -> Result<(), SessionError> {
        let at = at.map_or_else(Timestamp::now, timestamp);
        let stopped =
            Change::Stopped { key: key.container(), pid: key.pid, at, exit_status: Some(exit_status) };
        Ok(self.changes.send(stopped).await?)
    }

    /// The task's workload; `None` for the sandbox of a pod, which is none.
    async fn facts(&self, key: &TaskKey) -> Result<Option<Container>, SessionError> {
        // Read before anything else: the process may end soon.
        let stat = self.engine.tree.process(key.pid).and_then(|process| process.stat());
        let start_ticks = stat.ok().map(|stat| stat.start_ticks);
        let record = self.client.container(&key.namespace, &key.id).await?.map(Record::read);
        if record.as_ref().is_some_and(Record::is_pod_sandbox) {
            return Ok(None);
        }
        let digest = match record.as_ref().and_then(Record::image_names) {
            Some(names) => self.client.image_digest(&key.namespace, &names.lookup).await?,
            None => None,
        };
        let mut container =
            facts::container(key, &self.version, start_ticks, record.as_ref(), digest.as_deref());
        container.entrypoint = cap_arguments(container.entrypoint, self.engine.arguments_max);
        Ok(Some(container))
    }
}

fn task_key(namespace: &str, task: &Task) -> TaskKey {
    // In a list `id` names the container; older servers set the other one.
    let id = if task.id.is_empty() { &task.container_id } else { &task.id };
    TaskKey { namespace: namespace.to_owned(), id: id.clone(), pid: task.pid }
}

fn timestamp(time: Time) -> Timestamp {
    let nanos = u64::try_from(time.nanos).unwrap_or(0);
    Timestamp::from_unix_seconds(time.seconds).saturating_add(Duration::from_nanos(nanos))
}
