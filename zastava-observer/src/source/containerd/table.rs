//! The tasks of one containerd, and what is to be done when an event, a list or an answer says something about one. Pure.
//!
//! A task is told when the engine's event or a list says that it started, and its facts are known. It has ended when an
//! event says so. A list that lacks it only raises a doubt, since containerd leaves out a task whose shim is slow: then the
//! task itself is asked for, and the kernel for its process
//! (docs/design/observer.md#when-has-a-task-ended-that-a-list-does-not-name).

mod action;
mod execs;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};

use zastava_core::clock::Timestamp;
use zastava_core::contract::EventKind;
use zastava_core::vocabulary::Engine;

pub(super) use self::action::{Action, ListedTask, Verdict, Why};
use self::task::{Begin, Ended, Facts, Task};
use super::container::TaskKey;
use super::event::{Bundle, ContainerKey, Exit, TaskEvent};
use super::messages::{TaskStatus, Time};
use crate::losses::Reason;
use crate::workload::{Change, ExecSession, Workload};

/// The most tasks that are remembered: twice as many as the tracker follows. A node has hundreds.
const TASKS_MAX: usize = 16_384;
/// The most ends that are remembered, for lists that were made before them.
const ENDED_MAX: usize = 1024;
/// A process that is gone counts as the task's end after so many doubts, even if containerd does not answer.
const DOUBTS_MAX: u8 = 2;

/// So many lists are tried as the first one of a connection while shims do not answer.
const FIRST_LISTS_MAX: u8 = 5;

/// The tasks of one containerd. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct TaskTable {
    tasks: HashMap<TaskKey, Task>,
    /// The tasks that ended last. A list on its way may still show them.
    ended: VecDeque<TaskKey>,
    /// How many lists of this connection were tried as its first one; `None` once it has that.
    first_lists: Option<u8>,
    /// What the first list of a connection waits for until it is reported.
    awaited: Option<HashSet<TaskKey>>,
    /// Processes that came into containers before the first list of this connection named those.
    early: Vec<(ContainerKey, ExecSession)>,
    /// Since when events are missing: the connection before this one, or the observer before this one, ended then.
    gap_since: Option<Timestamp>,
    /// How many tasks the last list had no room for.
    listed_without_room: u64,
}

impl TaskTable {
    /// A table of an observer before which nobody has watched since then.
    pub(super) fn away_since(since: Option<Timestamp>) -> Self {
        Self { gap_since: since, ..Self::default() }
    }

    /// A connection ended: events are missing from now on.
    pub(super) fn disconnected(&mut self, now: Timestamp) {
        self.gap_since.get_or_insert(now);
    }

    /// A connection begins. What was asked for on the one before is not answered any more.
    pub(super) fn connected(&mut self) -> Vec<Action> {
        (self.awaited, self.first_lists) = (None, Some(0));
        let asked = self.tasks.iter_mut().filter_map(|(key, task)| {
            task.is_doubted = false;
            let (seen, why) = match task.begin {
                Begin::Created => (Time::now(), Why::Created(Bundle::default())),
                Begin::Started(at) => (at, Why::Started),
                Begin::Listed => (Time::now(), Why::Listed),
            };
            let is_asked = matches!(task.facts, Facts::Asked);
            is_asked.then(|| Action::LookUp { key: key.clone(), seen, why })
        });
        asked.collect()
    }

    pub(super) fn event(&mut self, event: TaskEvent) -> Vec<Action> {
        match event {
            TaskEvent::Created(key, bundle, at) => self.created(key, bundle, at),
            TaskEvent::Started(key, at) => self.begin(key, Begin::Started(at), at),
            TaskEvent::Exec(container, exec) => self.exec(&container, exec),
            TaskEvent::Deleted(key, _) if !self.tasks.contains_key(&key) => Vec::new(),
            TaskEvent::Ended(key, exit) | TaskEvent::Deleted(key, exit) => {
                self.ended(&key, Ended { exit, reconciled: false })
            }
        }
    }

    /// The facts of a task are known; `None` for one that is no workload.
    pub(super) fn looked_up(&mut self, key: &TaskKey, workload: Option<Workload>) -> Vec<Action> {
        let Some(task) = self.tasks.get_mut(key) else { return Vec::new() };
        if matches!(task.facts, Facts::Known(_)) {
            return Vec::new();
        }
        task.facts = Facts::Known(workload.map(Box::new));
        self.settled(key)
    }

    /// Everything that containerd has, of all its namespaces.
    pub(super) fn listed(&mut self, listed: Vec<ListedTask>) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut named = HashSet::with_capacity(listed.len());
        // A shim that does not answer costs a task its status, and its pid.
        let mut vague = HashSet::new();
        let mut exits = HashMap::new();
        let mut without_room = 0;
        for ListedTask { key, status, exit, asked } in listed {
            match status {
                TaskStatus::Running | TaskStatus::Paused | TaskStatus::Pausing if key.pid != 0 => {
                    named.insert(key.clone());
                    if !self.has_room(&key) {
                        without_room += 1;
                    } else if !self.ended.contains(&key) {
                        actions.extend(self.begin(key, Begin::Listed, asked));
                    }
                }
                TaskStatus::Created if key.pid != 0 => {
                    named.insert(key.clone());
                    if !self.tasks.contains_key(&key) {
                        actions.extend(self.created(key, Bundle::default(), asked));
                    }
                }
                TaskStatus::Stopped => {
                    if self.first_lists.is_some() {
                        actions.extend(self.found_stopped(&key, exit, asked));
                    }
                    exits.insert(key, exit);
                }
                _ => drop(vague.insert((key.namespace, key.id))),
            }
        }
        let more = u64::saturating_sub(without_room, self.listed_without_room);
        actions.extend((0..more).map(|_| Action::Lost(Reason::TooManyTasks, EventKind::ContainerStart)));
        self.listed_without_room = without_room;
        for (key, task) in &mut self.tasks {
            let is_there = named.contains(key) || vague.contains(&(key.namespace.clone(), key.id.clone()));
            if is_there {
                task.doubts = 0;
            } else if !task.is_doubted {
                task.is_doubted = true;
                let (key, start_ticks) = (key.clone(), task.start_ticks());
                let listed = exits.get(&key).copied();
                actions.push(Action::Confirm { key, start_ticks, listed });
            }
        }
        if self.is_first_list(&vague) {
            (self.first_lists, self.gap_since) = (None, None);
            let open = self.tasks.iter().filter(|(_, task)| task.is_open());
            self.awaited = Some(open.map(|(key, _)| key.clone()).collect());
            actions.extend(self.first_list());
        }
        actions.extend(self.early_execs());
        actions
    }

    /// Whether this list can be reported as a whole. One that shows nothing but the name of a task that is not known would end
    /// what the tracker knows of it.
    fn is_first_list(&mut self, vague: &HashSet<(String, String)>) -> bool {
        let Some(tried) = &mut self.first_lists else { return false };
        *tried += 1;
        let known: HashSet<_> = self.tasks.keys().map(|key| (&key.namespace, &key.id)).collect();
        *tried == FIRST_LISTS_MAX || vague.iter().all(|(namespace, id)| known.contains(&(namespace, id)))
    }

    /// A doubt is settled.
    pub(super) fn confirmed(&mut self, key: &TaskKey, verdict: Verdict) -> Vec<Action> {
        let Some(task) = self.tasks.get_mut(key) else { return Vec::new() };
        task.is_doubted = false;
        let exit = match verdict {
            Verdict::Runs if task.is_listed && task.begin == Begin::Created => {
                task.begin = Begin::Listed;
                return self.settled(key);
            }
            Verdict::Runs => None,
            Verdict::Ended(exit) => Some(exit),
            Verdict::Unknown { process_is_gone } => {
                task.doubts = task.doubts.saturating_add(1);
                (process_is_gone && task.doubts >= DOUBTS_MAX).then(Exit::default)
            }
        };
        match exit {
            Some(exit) => self.ended(key, Ended { exit, reconciled: true }),
            None => self.settle(key).into_iter().collect(),
        }
    }

    /// What is not told yet.
    pub(super) fn untold(&self) -> [(EventKind, u64); 3] {
        let waits = |task: &&Task| !task.is_told && task.has_started();
        let starts = self.tasks.values().filter(waits).count();
        let stops = self.tasks.values().filter(waits).filter(|task| task.exit.is_some()).count();
        let of_workloads = self.tasks.values().filter(|task| !matches!(task.facts, Facts::Known(None)));
        let execs = self.early.len() + of_workloads.map(|task| task.execs.len()).sum::<usize>();
        let of = [EventKind::ContainerStart, EventKind::ContainerStop, EventKind::Drift];
        std::array::from_fn(|at| (of[at], [starts, stops, execs][at] as u64))
    }

    fn has_room(&self, key: &TaskKey) -> bool {
        self.tasks.len() < TASKS_MAX || self.tasks.contains_key(key)
    }

    /// The task waits for its start, or did so a moment ago: its event may be slower than a list. That knows no bundle, so the
    /// task is looked up again, and what the list says about its start is a doubt until the event of that.
    fn created(&mut self, key: TaskKey, bundle: Bundle, seen: Time) -> Vec<Action> {
        let why = Why::Created(bundle);
        let Some(task) = self.tasks.get_mut(&key) else {
            if !self.has_room(&key) {
                return Vec::new();
            }
            self.tasks.insert(key.clone(), Task::new(Begin::Created));
            return vec![Action::LookUp { key, seen, why }];
        };
        if matches!(task.facts, Facts::Known(_)) {
            return Vec::new();
        }
        let look_up = Action::LookUp { key: key.clone(), seen, why };
        if task.begin != Begin::Listed {
            return vec![look_up];
        }
        task.begin = Begin::Created;
        (task.is_doubted, task.is_listed) = (true, true);
        vec![look_up, Action::Confirm { key, start_ticks: None, listed: None }]
    }

    /// The task is named: by the event of its start or by a list.
    fn begin(&mut self, key: TaskKey, begin: Begin, seen: Time) -> Vec<Action> {
        if !self.has_room(&key) {
            let is_start = matches!(begin, Begin::Started(_));
            let lost = Action::Lost(Reason::TooManyTasks, EventKind::ContainerStart);
            return is_start.then_some(lost).into_iter().collect();
        }
        let Some(task) = self.tasks.get_mut(&key) else {
            let why = if begin == Begin::Listed { Why::Listed } else { Why::Started };
            self.tasks.insert(key.clone(), Task::new(begin));
            return vec![Action::LookUp { key, seen, why }];
        };
        let is_news = match begin {
            Begin::Listed => task.begin == Begin::Created,
            _ => !matches!(task.begin, Begin::Started(_)),
        };
        if task.is_told || !is_news {
            return Vec::new();
        }
        if begin == Begin::Listed && !task.is_open() {
            // The event of its start may be on its way.
            (task.is_doubted, task.is_listed) = (true, true);
            return vec![Action::Confirm { key, start_ticks: task.start_ticks(), listed: None }];
        }
        task.begin = begin;
        self.settled(&key)
    }

    fn ended(&mut self, key: &TaskKey, ended: Ended) -> Vec<Action> {
        let Some(task) = self.tasks.get_mut(key) else {
            // The tracker may know it from an earlier run of the observer.
            return vec![Action::Report(stopped(key, ended))];
        };
        if !task.is_told && task.has_started() {
            task.exit.get_or_insert(ended);
            if task.begin == Begin::Created {
                task.begin = Begin::Listed;
            }
            return self.settled(key);
        }
        let is_workload = task.is_told && matches!(task.facts, Facts::Known(Some(_)));
        self.tasks.remove(key);
        self.remember_end(key);
        let told = is_workload.then(|| Action::Report(stopped(key, ended)));
        told.into_iter().chain(self.settle(key)).collect()
    }

    fn remember_end(&mut self, key: &TaskKey) {
        self.ended.truncate(ENDED_MAX - 1);
        self.ended.push_front(key.clone());
    }

    /// A first list shows a task that has stopped. It may have begun and ended while nobody could tell; otherwise the tracker
    /// may know its start from an earlier run of the observer.
    fn found_stopped(&mut self, key: &TaskKey, exit: Exit, asked: Time) -> Vec<Action> {
        if self.tasks.contains_key(key) {
            return Vec::new();
        }
        match self.gap_since.zip(exit.at) {
            Some((gap, at)) if at >= gap => self.begin(key.clone(), Begin::Listed, asked),
            _ => vec![Action::Report(stopped(key, Ended { exit, reconciled: true }))],
        }
    }

    /// Tells the task if it has started and its facts are known.
    fn settled(&mut self, key: &TaskKey) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(task) = self.tasks.get_mut(key) else { return actions };
        let Facts::Known(workload) = &mut task.facts else { return actions };
        if task.begin == Begin::Created || task.is_told {
            actions.extend(self.settle(key));
            return actions;
        }
        task.is_told = true;
        if let Some(workload) = workload {
            if let Begin::Started(at) = task.begin {
                workload.started_at = Some(at.timestamp());
            }
            let told = workload.clone();
            actions.push(Action::Report(match task.begin {
                Begin::Listed => Change::Found(told),
                _ => Change::Started(told),
            }));
            let execs = task.execs.drain(..);
            actions.extend(execs.map(|exec| Action::Report(execs::noted(key.workload(), exec))));
            actions.extend(task.exit.map(|ended| Action::Report(stopped(key, ended))));
        }
        if task.exit.is_some() {
            self.tasks.remove(key);
            self.remember_end(key);
        }
        actions.extend(self.settle(key));
        actions
    }

    /// One thing less that the first list waits for, if nothing of this task is open any more.
    fn settle(&mut self, key: &TaskKey) -> Option<Action> {
        if self.tasks.get(key).is_some_and(Task::is_open) {
            return None;
        }
        self.awaited.as_mut()?.remove(key);
        self.first_list()
    }

    /// All that runs, once nothing is in doubt: it also ends what ran before the observer did.
    fn first_list(&mut self) -> Option<Action> {
        self.awaited.take_if(|awaited| awaited.is_empty())?;
        let told = self.tasks.values().filter(|task| task.is_told);
        let workloads = told.filter_map(|task| match &task.facts {
            Facts::Known(Some(workload)) => Some((**workload).clone()),
            _ => None,
        });
        let workloads = workloads.collect();
        Some(Action::Report(Change::Listed { engine: Engine::Containerd, workloads }))
    }
}

fn stopped(key: &TaskKey, Ended { exit, reconciled }: Ended) -> Change {
    let (engine, pid, exit_status) = (Engine::Containerd, key.pid, exit.status);
    let at = exit.at.unwrap_or_else(Timestamp::now);
    Change::Stopped { engine, key: key.workload(), pid, at, exit_status, reconciled }
}
