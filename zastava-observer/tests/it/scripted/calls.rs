//! Answers calls from the state that the script has reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use tokio::sync::{Notify, mpsc, watch};
use tonic::Code;

use super::messages::{
    GetContainerRequest, GetContainerResponse, GetTaskRequest, GetTaskResponse, ListNamespacesResponse,
    ListTasksResponse, Namespace, Task, TaskStatus, VersionResponse,
};
use super::store::Store;
use super::{Fault, NAMESPACE, Step};

/// Bytes that no protobuf message begins with: field number 0 is reserved.
const GARBAGE: [u8; 4] = [0x00, 0xFF, 0xFF, 0xFF];

/// A call that the observer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Version,
    Namespaces,
    Tasks,
    /// One task.
    Task,
    /// The look-up of any container, or of one.
    Container(Option<&'static str>),
    Image,
    Snapshot,
    Content,
    Subscribe,
}

/// The answer to a call.
pub(crate) enum Answer {
    Message(Bytes),
    Stream(mpsc::UnboundedReceiver<Bytes>),
    Failed(Code),
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    state: Mutex<State>,
    counts: watch::Sender<BTreeMap<Method, u64>>,
    has_subscriber: watch::Sender<bool>,
    resumed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By the id of the container.
    tasks: BTreeMap<&'static str, ScriptedTask>,
    faults: Vec<(Method, Fault)>,
    /// Calls of these methods are not answered.
    stalled: BTreeSet<Method>,
    subscribers: Vec<mpsc::UnboundedSender<Bytes>>,
    store: Store,
}

#[derive(Debug)]
struct ScriptedTask {
    pid: u32,
    exit_status: Option<u32>,
    is_hidden: bool,
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn play(&self, step: Step) {
        let mut state = self.state();
        match step {
            Step::Run(id, pid) => {
                state.tasks.insert(id, ScriptedTask { pid, exit_status: None, is_hidden: false });
            }
            Step::Exit(id, status) => state.task(id).exit_status = Some(status),
            Step::Delete(id) => drop(state.tasks.remove(id)),
            Step::Hide(id) => state.task(id).is_hidden = true,
            Step::Show(id) => state.task(id).is_hidden = false,
            Step::Send(event) => {
                let event = Bytes::from(event.0);
                state.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
            }
            Step::Fault(method, fault) => state.faults.push((method, fault)),
            Step::Stall(method) => drop(state.stalled.insert(method)),
            Step::Resume(method) => {
                state.stalled.remove(&method);
                self.resumed.notify_waiters();
            }
            Step::Store(item) => state.store.put(item),
            Step::EndStream => {
                drop(state);
                self.end_streams();
            }
            Step::Start | Step::Stop => unreachable!("the server's own steps"),
        }
    }

    pub(super) fn end_streams(&self) {
        self.state().subscribers.clear();
        self.has_subscriber.send_replace(false);
    }

    pub(super) async fn called(&self, method: Method, more: u64) {
        let mut counts = self.counts.subscribe();
        let count = |counts: &BTreeMap<Method, u64>| counts.get(&method).copied().unwrap_or(0);
        let wanted = count(&counts.borrow()) + more;
        counts.wait_for(|counts| count(counts) >= wanted).await.expect("the sender is ours");
    }

    pub(super) async fn subscribed(&self) {
        let mut has_subscriber = self.has_subscriber.subscribe();
        has_subscriber.wait_for(|has| *has).await.expect("the sender is ours");
    }

    /// Answers the call of this path, after its fault if it has one.
    pub(super) async fn answer(&self, path: &str, request: &[u8]) -> Answer {
        let Some(method) = method(path) else { return Answer::Failed(Code::Unimplemented) };
        let requested = GetContainerRequest::decode(request).map(|request| request.id).unwrap_or_default();
        self.counts.send_modify(|counts| *counts.entry(method).or_default() += 1);
        let fault = self.state().take_fault(method, &requested);
        match fault {
            Some(Fault::Fail(code)) => return Answer::Failed(code),
            Some(Fault::Garbage) => return Answer::Message(Bytes::from_static(&GARBAGE)),
            Some(Fault::Hold { reached, released }) => {
                // The test may not wait for the call. It releases it by dropping the other end.
                let _ = reached.send(());
                let _ = released.await;
            }
            None => {}
        }
        loop {
            let resumed = self.resumed.notified();
            if !self.state().stalled.contains(&method) {
                break;
            }
            resumed.await;
        }
        let mut state = self.state();
        match method {
            Method::Version => {
                // Each connection begins with this call. The one before is given up by then.
                state.subscribers.clear();
                self.has_subscriber.send_replace(false);
                message(&VersionResponse { version: "2.2.0".to_owned() })
            }
            Method::Namespaces => {
                let namespaces = vec![Namespace { name: NAMESPACE.to_owned() }];
                message(&ListNamespacesResponse { namespaces })
            }
            Method::Tasks => message(&ListTasksResponse { tasks: state.listed() }),
            Method::Task => {
                let requested = GetTaskRequest::decode(request).unwrap_or_default().container_id;
                let task = state.tasks.get_key_value(requested.as_str());
                found(task.map(|(id, task)| GetTaskResponse { process: Some(task.shown(id)) }))
            }
            Method::Container(_) if state.tasks.contains_key(requested.as_str()) => {
                message(&GetContainerResponse { container: Some(state.store.container(&requested)) })
            }
            Method::Container(_) => Answer::Failed(Code::NotFound),
            Method::Image => found(state.store.image(request)),
            Method::Snapshot => found(state.store.snapshot(request)),
            Method::Content => match state.store.content(request) {
                Some(parts) => {
                    let (sender, receiver) = mpsc::unbounded_channel();
                    parts.iter().for_each(|part| drop(sender.send(Bytes::from(part.encode_to_vec()))));
                    Answer::Stream(receiver)
                }
                None => Answer::Failed(Code::NotFound),
            },
            Method::Subscribe => {
                let (sender, receiver) = mpsc::unbounded_channel();
                state.subscribers.push(sender);
                self.has_subscriber.send_replace(true);
                Answer::Stream(receiver)
            }
        }
    }
}

impl State {
    fn task(&mut self, id: &str) -> &mut ScriptedTask {
        self.tasks.get_mut(id).expect("the task is there")
    }

    fn take_fault(&mut self, called: Method, requested: &str) -> Option<Fault> {
        let is_meant = |method: &Method| match method {
            Method::Container(Some(id)) => called == Method::Container(None) && *id == requested,
            method => *method == called,
        };
        let at = self.faults.iter().position(|(method, _)| is_meant(method))?;
        Some(self.faults.remove(at).1)
    }

    fn listed(&self) -> Vec<Task> {
        let shown = self.tasks.iter().filter(|(_, task)| !task.is_hidden);
        shown.map(|(id, task)| task.shown(id)).collect()
    }
}

impl ScriptedTask {
    fn shown(&self, id: &str) -> Task {
        let status = match self.exit_status {
            // What containerd says while the shim does not answer.
            _ if self.is_hidden => TaskStatus::Unknown,
            Some(_) => TaskStatus::Stopped,
            None => TaskStatus::Running,
        };
        Task {
            container_id: String::new(),
            id: id.to_owned(),
            pid: if self.is_hidden { 0 } else { self.pid },
            status: status.into(),
            exit_status: self.exit_status.unwrap_or(0),
            exited_at: None,
        }
    }
}

fn message(message: &impl Message) -> Answer {
    Answer::Message(message.encode_to_vec().into())
}

fn found(answer: Option<impl Message>) -> Answer {
    answer.map_or(Answer::Failed(Code::NotFound), |answer| message(&answer))
}

fn method(path: &str) -> Option<Method> {
    Some(match path.strip_prefix("/containerd.services.")? {
        "version.v1.Version/Version" => Method::Version,
        "namespaces.v1.Namespaces/List" => Method::Namespaces,
        "tasks.v1.Tasks/List" => Method::Tasks,
        "tasks.v1.Tasks/Get" => Method::Task,
        "containers.v1.Containers/Get" => Method::Container(None),
        "images.v1.Images/Get" => Method::Image,
        "snapshots.v1.Snapshots/Stat" => Method::Snapshot,
        "content.v1.Content/Read" => Method::Content,
        "events.v1.Events/Subscribe" => Method::Subscribe,
        _ => return None,
    })
}
