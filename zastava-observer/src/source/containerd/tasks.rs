//! Turns task events and lists into changes. [`TaskTable`] decides; this makes the calls, side by side, so that a slow one
//! holds up its own task only.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::cadence::Cadence;
use super::client::ClientError;
use super::container::TaskKey;
use super::event::TaskEvent;
use super::messages::Time;
use super::reader::TaskReader;
use super::table::{Action, ListedTask, TaskTable, Verdict, Why};
use crate::losses::{Losses, Reason};
use crate::source::moby::{self, Moby};
use crate::source::session::Ended;
use crate::source::{Changes, Closed, SourceHealth};
use crate::workload::{Change, Noted, Workload};

/// The most look-ups at once, each of which may hold a container's root open. While so many wait, events wait in the queue.
const LOOK_UPS_MAX: usize = 256;
/// The most look-ups at once that only a list asked for, so that events find room.
const LISTED_LOOK_UPS_MAX: usize = 64;
/// The most changes that wait for the pipeline before events wait in the queue.
const OUTGOING_MAX: usize = 2048;
/// The wait before a list that failed is asked for again.
const LIST_RETRY: Duration = Duration::from_millis(500);

type Running<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>;
type Listing = Pin<Box<dyn Future<Output = Listed> + Send>>;
/// What a list says, and how long it took.
type Listed = (Result<Vec<ListedTask>, ClientError>, Duration);

/// Watches the tasks of one containerd, across its connections.
#[derive(Debug)]
pub(super) struct TaskWatcher {
    table: TaskTable,
    cadence: Cadence,
    outgoing: VecDeque<Change>,
    changes: Changes,
    losses: Losses,
    moby: Moby,
    is_told_by_docker: bool,
}

/// What is asked on one connection.
struct Questions {
    reader: TaskReader,
    look_ups: Running<(TaskKey, Option<Workload>)>,
    /// Look-ups that wait for others.
    waiting: VecDeque<(TaskKey, Time, Why)>,
    confirmations: Running<(TaskKey, Verdict)>,
    listing: Option<Listing>,
    next_list: Instant,
}

impl TaskWatcher {
    pub(super) fn new(
        table: TaskTable,
        interval: Duration,
        changes: Changes,
        losses: Losses,
        moby: Moby,
    ) -> Self {
        let cadence = Cadence::new(interval);
        let outgoing = VecDeque::new();
        Self { table, cadence, outgoing, changes, losses, moby, is_told_by_docker: false }
    }

    /// Handles queued events and lists until the connection fails. `gap` asks for a list at once.
    pub(super) async fn run(
        &mut self,
        reader: TaskReader,
        queued: &mut mpsc::Receiver<TaskEvent>,
        gap: &Notify,
        health: &mut SourceHealth,
    ) -> Ended {
        let mut questions = Questions::new(reader);
        let known = self.table.connected();
        self.act(known, &mut questions);
        self.cadence.doubt();
        loop {
            questions.begin_waiting();
            let accepts = questions.look_ups.len() < LOOK_UPS_MAX && self.outgoing.len() < OUTGOING_MAX;
            let actions = tokio::select! {
                biased;
                sent = send(&self.changes, &mut self.outgoing) => match sent {
                    Ok(()) => continue,
                    Err(closed) => return closed.into(),
                },
                () = self.moby.docker_tells(), if !self.is_told_by_docker => {
                    self.leave_to_docker();
                    continue;
                }
                Some((key, found)) = questions.look_ups.next() => self.looked_up(&key, found),
                Some((key, verdict)) = questions.confirmations.next() => self.table.confirmed(&key, verdict),
                // Before the list, which may show the same.
                Some(event) = queued.recv(), if accepts => self.table.event(event),
                () = gap.notified() => {
                    self.cadence.doubt();
                    questions.next_list = Instant::now();
                    continue;
                }
                listed = list(&mut questions.listing, &questions.reader, questions.next_list) => match self.listed(listed, &mut questions, health) {
                    Ok(actions) => actions,
                    Err(ended) => return ended,
                },
            };
            self.act(actions, &mut questions);
        }
    }

    /// The connection ended.
    pub(super) fn disconnected(&mut self) {
        self.table.disconnected(Timestamp::now());
    }

    fn listed(
        &mut self,
        (listed, after): Listed,
        questions: &mut Questions,
        health: &mut SourceHealth,
    ) -> Result<Vec<Action>, Ended> {
        let now = Instant::now();
        match listed {
            Ok(listed) => {
                health.works();
                health.metrics().listed(Engine::Containerd, after);
                questions.next_list = now + self.cadence.next();
                Ok(self.table.listed(listed))
            }
            Err(error) if error.ends_connection() => Err(error.into()),
            Err(error) => {
                health.failed(&error);
                questions.next_list = now + LIST_RETRY;
                Ok(Vec::new())
            }
        }
    }

    /// Docker's source tells its containers from now on. They have not stopped.
    fn leave_to_docker(&mut self) {
        self.is_told_by_docker = true;
        let below = Some(format!("{}/", moby::NAMESPACE));
        self.outgoing.push_back(Change::Unfollowed { engine: Engine::Containerd, below });
    }

    fn looked_up(&mut self, key: &TaskKey, found: Option<Workload>) -> Vec<Action> {
        if let Some(found) = found.as_ref().filter(|_| key.namespace == moby::NAMESPACE) {
            self.moby.captured(&key.id, found);
        }
        self.table.looked_up(key, found)
    }

    /// The change as it is told here; `None` if Docker's source tells it.
    fn told_here(&self, change: Change) -> Option<Change> {
        match change {
            Change::Started(workload) if self.is_docker_container(&workload.key) => None,
            Change::Found(workload) if self.is_docker_container(&workload.key) => None,
            Change::Stopped { key, .. } if self.is_docker_container(&key) => None,
            Change::Listed { engine, mut workloads } => {
                workloads.retain(|workload| !self.is_docker_container(&workload.key));
                Some(Change::Listed { engine, workloads })
            }
            // Docker announces no pid with its own event.
            Change::Noted(of, note) if self.is_docker_container(&of.key) => {
                let key = of.key.split_once('/').map_or(of.key.as_str(), |(_, id)| id).to_owned();
                Some(Change::Noted(Noted { engine: Engine::Docker, key, pid: of.pid }, note))
            }
            other => Some(other),
        }
    }

    /// Whether Docker's source tells this workload.
    fn is_docker_container(&self, key: &str) -> bool {
        self.is_told_by_docker
            && key.split_once('/').is_some_and(|(namespace, _)| namespace == moby::NAMESPACE)
    }

    fn act(&mut self, actions: Vec<Action>, questions: &mut Questions) {
        for action in actions {
            match action {
                Action::LookUp { key, seen, why: Why::Listed } => {
                    questions.waiting.push_back((key, seen, Why::Listed));
                }
                Action::LookUp { key, seen, why } => {
                    if key.namespace == moby::NAMESPACE {
                        self.moby.reads(&key.id, seen.timestamp());
                    }
                    questions.look_up(key, seen, why);
                }
                Action::Confirm { key, start_ticks, listed } => {
                    let asked = questions.reader.clone().confirm(key, start_ticks, listed);
                    questions.confirmations.push(Box::pin(asked));
                }
                Action::Report(change) => {
                    let Some(change) = self.told_here(change) else { continue };
                    if matches!(&change, Change::Found(_) | Change::Stopped { reconciled: true, .. }) {
                        self.cadence.doubt();
                        questions.next_list =
                            questions.next_list.min(Instant::now() + self.cadence.interval());
                    }
                    self.outgoing.push_back(change);
                }
                Action::Lost(reason, kind) => self.losses.add(reason, kind, 1),
            }
        }
    }
}

/// What was not told is lost with the watcher.
impl Drop for TaskWatcher {
    fn drop(&mut self) {
        for (kind, count) in self.table.untold() {
            self.losses.add(Reason::Ended, kind, count);
        }
        for change in &self.outgoing {
            change.lost(Reason::Ended, &self.losses);
        }
    }
}

impl Questions {
    fn new(reader: TaskReader) -> Self {
        Self {
            reader,
            look_ups: Running::new(),
            waiting: VecDeque::new(),
            confirmations: Running::new(),
            listing: None,
            next_list: Instant::now(),
        }
    }

    fn look_up(&self, key: TaskKey, seen: Time, why: Why) {
        self.look_ups.push(Box::pin(self.reader.clone().look_up(key, seen, why)));
    }

    fn begin_waiting(&mut self) {
        while self.look_ups.len() < LISTED_LOOK_UPS_MAX
            && let Some((key, seen, why)) = self.waiting.pop_front()
        {
            self.look_up(key, seen, why);
        }
    }
}

/// The next list, when it is due and answered. Nothing is lost when this is dropped.
async fn list(listing: &mut Option<Listing>, reader: &TaskReader, due: Instant) -> Listed {
    if listing.is_none() {
        tokio::time::sleep_until(due).await;
    }
    let ask = || {
        let (asked, list) = (Instant::now(), reader.clone().list());
        Box::pin(async move { (list.await, asked.elapsed()) }) as Listing
    };
    let listed = listing.get_or_insert_with(ask).await;
    *listing = None;
    listed
}

/// Sends the first change; waits for ever if there is none.
async fn send(changes: &Changes, outgoing: &mut VecDeque<Change>) -> Result<(), Closed> {
    if outgoing.is_empty() {
        return std::future::pending().await;
    }
    let room = changes.room().await?;
    if let Some(change) = outgoing.pop_front() {
        room.send(change);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::moby::Moby;
    use crate::tracker::tests::listed;
    use crate::workload::tests::workload;
    use crate::workload::{ExecSession, Note};

    #[tokio::test]
    async fn what_docker_tells_is_told_once_also_by_a_list() {
        let ((changes, _receiver), (_docker, moby)) = (Changes::channel(1), Moby::channel());
        let mut watcher =
            TaskWatcher::new(TaskTable::default(), LIST_RETRY, changes, Losses::default(), moby);
        let keys = |change: Option<Change>| match change {
            None => Vec::new(),
            Some(Change::Started(one) | Change::Found(one)) => vec![one.key],
            Some(Change::Stopped { key, .. }) => vec![key],
            Some(Change::Listed { workloads, .. }) => workloads.into_iter().map(|one| one.key).collect(),
            Some(Change::Noted(of, _)) => vec![format!("{}:{}", of.engine, of.key)],
            Some(Change::Unfollowed { .. }) => panic!("nobody asked for it"),
        };
        let told = |watcher: &TaskWatcher| {
            let (moby, at) = (|| Box::new(workload("moby/a", 1)), Timestamp::UNIX_EPOCH);
            let exec = Note::Exec(ExecSession { id: "e".to_owned(), pid: 2, at });
            let changes = [
                Change::Started(moby()),
                Change::Found(moby()),
                listed(Engine::Containerd, &[("k8s.io/b", 2), ("moby/a", 1)]),
                Change::Noted(Noted { engine: Engine::Containerd, ..Noted::run_of(&moby()) }, exec),
            ];
            changes.map(|change| keys(watcher.told_here(change)).join(" "))
        };
        assert_eq!(told(&watcher), ["moby/a", "moby/a", "k8s.io/b moby/a", "containerd:moby/a"]);
        watcher.leave_to_docker();
        assert_eq!(told(&watcher), ["", "", "k8s.io/b", "docker:a"]);
    }
}
