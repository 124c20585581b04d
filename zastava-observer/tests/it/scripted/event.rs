//! The events of the script.

use std::path::Path;

use prost::Message as _;

use super::NAMESPACE;
use super::messages::{Any, Envelope, TaskCreate, TaskExecStarted, TaskExit, TaskStart, Time};

/// The time of every event: 2026-01-01T00:00:00Z.
const TIME: Time = Time { seconds: 1_767_225_600, nanos: 0 };

/// One event, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Event(pub(super) Vec<u8>);

impl Event {
    /// A container was created: its process waits, and `bundle` is the directory of its task.
    pub(crate) fn create(id: &str, pid: u32, bundle: &Path) -> Self {
        let (container_id, bundle) = (id.to_owned(), bundle.display().to_string());
        Self::with("/tasks/create", TaskCreate { container_id, bundle, pid }.encode_to_vec())
    }

    /// The main process of a container started.
    pub(crate) fn start(id: &str, pid: u32) -> Self {
        Self::with("/tasks/start", TaskStart { container_id: id.to_owned(), pid }.encode_to_vec())
    }

    /// The main process of a container exited.
    pub(crate) fn exit(id: &str, pid: u32, exit_status: u32) -> Self {
        Self::exit_of(id, id, pid, exit_status)
    }

    /// Another process of the container exited, such as that of an exec.
    pub(crate) fn exec_exit(id: &str, pid: u32) -> Self {
        Self::exit_of(id, "exec-1", pid, 1)
    }

    /// A process was started in a container from outside.
    pub(crate) fn exec(id: &str, exec_id: &str, pid: u32) -> Self {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        Self::with("/tasks/exec-started", TaskExecStarted { container_id, exec_id, pid }.encode_to_vec())
    }

    /// An event whose payload is these bytes.
    pub(crate) fn with(topic: &str, payload: impl Into<Vec<u8>>) -> Self {
        let event = Any { type_url: String::new(), value: payload.into() };
        Self::envelope(topic, Some(event))
    }

    /// An event without a payload.
    pub(crate) fn empty(topic: &str) -> Self {
        Self::envelope(topic, None)
    }

    fn exit_of(container_id: &str, id: &str, pid: u32, exit_status: u32) -> Self {
        let (container_id, id) = (container_id.to_owned(), id.to_owned());
        let exit = TaskExit { container_id, id, pid, exit_status, exited_at: Some(TIME) };
        Self::with("/tasks/exit", exit.encode_to_vec())
    }

    fn envelope(topic: &str, event: Option<Any>) -> Self {
        let (namespace, topic) = (NAMESPACE.to_owned(), topic.to_owned());
        Self(Envelope { timestamp: Some(TIME), namespace, topic, event }.encode_to_vec())
    }
}
