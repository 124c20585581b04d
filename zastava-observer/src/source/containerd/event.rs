//! The events of tasks that containerd publishes, as far as they matter.

use std::time::Duration;

use prost::Message;
use zastava_core::clock::Timestamp;
use zastava_core::contract::EventKind;

use super::container::TaskKey;
use super::messages::{Any, Envelope, TaskCreate, TaskDelete, TaskExecStarted, TaskExit, TaskStart, Time};
use crate::workload::ExecSession;

/// What happened to the processes of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskEvent {
    /// It waits in the container's root for the order to execute the program.
    Created(TaskKey, Bundle, Time),
    /// It got that order.
    Started(TaskKey, Time),
    /// It exited.
    Ended(TaskKey, Exit),
    /// What was left of it was deleted. This repeats the exit, whose own event may be lost.
    Deleted(TaskKey, Exit),
    /// Another process was started in the container. The event does not say which is the main one.
    Exec(ContainerKey, ExecSession),
}

/// A container, whatever its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerKey {
    pub(super) namespace: String,
    pub(super) id: String,
}

/// The path of a task's directory on the node; empty if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bundle(pub(super) String);

/// How a task ended, as far as containerd says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) at: Option<Timestamp>,
    pub(super) status: Option<u32>,
}

/// An event that no message can be made of, and what it would have become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable(pub(super) EventKind);

impl TaskEvent {
    /// Reads an event; `None` if it is about nothing that is observed.
    pub(super) fn read(envelope: Envelope) -> Result<Option<Self>, Undecodable> {
        let Envelope { timestamp, namespace, topic, event } = envelope;
        let value = event.map(|Any { value, .. }| value);
        let key = |id, pid| TaskKey { namespace: namespace.clone(), id, pid };
        match topic.as_str() {
            // Nothing is told of a container before it starts.
            "/tasks/create" => {
                let (created, at) = (decode::<TaskCreate>(value), timestamp.unwrap_or_else(Time::now));
                Ok(created.map(|TaskCreate { container_id, bundle, pid }| {
                    Self::Created(key(container_id, pid), Bundle(bundle), at)
                }))
            }
            "/tasks/start" => {
                let start = decode::<TaskStart>(value).ok_or(Undecodable(EventKind::ContainerStart))?;
                let at = timestamp.unwrap_or_else(Time::now);
                Ok(Some(Self::Started(key(start.container_id, start.pid), at)))
            }
            // The one for `/tasks/exec-added` has no pid yet.
            "/tasks/exec-started" => {
                let exec = decode::<TaskExecStarted>(value).ok_or(Undecodable(EventKind::Drift))?;
                let TaskExecStarted { container_id: id, exec_id, pid } = exec;
                let at = timestamp.unwrap_or_else(Time::now).timestamp();
                Ok(Some(Self::Exec(ContainerKey { namespace, id }, ExecSession { id: exec_id, pid, at })))
            }
            "/tasks/exit" => {
                let exit = decode::<TaskExit>(value).ok_or(Undecodable(EventKind::ContainerStop))?;
                // Another process of the container, such as that of an exec, can end alone.
                let is_main = exit.id == exit.container_id;
                let found = Exit::new(exit.exited_at.or(timestamp), exit.exit_status);
                Ok(is_main.then(|| Self::Ended(key(exit.container_id, exit.pid), found)))
            }
            "/tasks/delete" => {
                let Some(gone) = decode::<TaskDelete>(value) else { return Ok(None) };
                let is_main = gone.id.is_empty() || gone.id == gone.container_id;
                let found = Exit::new(gone.exited_at, gone.exit_status);
                Ok(is_main.then(|| Self::Deleted(key(gone.container_id, gone.pid), found)))
            }
            _ => Ok(None),
        }
    }

    /// The kind of event that is lost with this one.
    pub(super) fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Created(..) | Self::Deleted(..) => None,
            Self::Started(..) => Some(EventKind::ContainerStart),
            Self::Ended(..) => Some(EventKind::ContainerStop),
            Self::Exec(..) => Some(EventKind::Drift),
        }
    }
}

impl Exit {
    pub(super) fn new(at: Option<Time>, status: u32) -> Self {
        // Go's zero time lies before 1970.
        let at = at.filter(|at| at.seconds > 0).map(Time::timestamp);
        Self { at, status: Some(status) }
    }
}

impl Time {
    pub(super) fn now() -> Self {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, nanos: since.subsec_nanos().cast_signed() }
    }

    pub(super) fn timestamp(self) -> Timestamp {
        let nanos = u64::try_from(self.nanos).unwrap_or(0);
        Timestamp::from_unix_seconds(self.seconds).saturating_add(Duration::from_nanos(nanos))
    }
}

fn decode<M: Message + Default>(value: Option<Vec<u8>>) -> Option<M> {
    M::decode(&value?[..]).ok()
}
