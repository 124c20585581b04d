//! A scripted containerd: the gRPC calls that the observer makes, on a Unix socket of this process.
//!
//! A test plays [`Step`]s: tasks run and exit, events are sent or kept back, calls fail, wait or answer with garbage, and
//! containerd stops and starts again. Steps take effect at once. [`called`](ScriptedContainerd::called) and
//! [`subscribed`](ScriptedContainerd::subscribed) wait for the observer.

mod calls;
mod event;
// The client's own messages: a wrong field would be found by the tests against a real containerd.
#[path = "../../src/source/containerd/messages.rs"]
#[allow(dead_code, reason = "the server reads few kinds of requests")]
mod messages;
mod server;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;

use self::calls::Calls;
pub(crate) use self::calls::{Answer, Method};
pub(crate) use self::event::Event;
pub(crate) use self::server::{Body, respond};
pub(crate) use self::store::Item;

/// The namespace of all scripted tasks.
const NAMESPACE: &str = "k8s.io";

/// What happens next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A task runs: lists name it, and its container can be looked up. No event is sent.
    Run(&'static str, u32),
    /// A task exits with this status: lists name it as stopped. No event is sent.
    Exit(&'static str, u32),
    /// A task and its container are deleted.
    Delete(&'static str),
    /// Lists leave out a task that runs, as they do while its shim is slow.
    Hide(&'static str),
    /// Lists name a hidden task again.
    Show(&'static str),
    /// Every subscriber gets this event. Without a subscriber it is lost.
    Send(Event),
    /// From now on containerd stores this.
    Store(Item),
    /// The next call of this method goes wrong. For a look-up, only the call for that container does.
    Fault(Method, Fault),
    /// From now on calls of this method are not answered.
    Stall(Method),
    /// Calls of this method are answered again, also those that wait.
    Resume(Method),
    /// The stream of events ends.
    EndStream,
    /// containerd stops: connections are cut, and new ones are refused.
    Stop,
    /// containerd starts again, with the tasks that it has by now.
    Start,
}

/// How a call goes wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The call fails with this code.
    Fail(Code),
    /// The answer is no protobuf message.
    Garbage,
    /// The call waits as [`ScriptedContainerd::hold`] says.
    Hold { reached: oneshot::Sender<()>, released: oneshot::Receiver<()> },
}

/// A call that waits until this is dropped.
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    _release: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the observer makes the call.
    pub(crate) async fn reached(&mut self) {
        (&mut self.reached).await.expect("the call is made");
    }
}

/// A containerd whose behaviour is a script.
pub(crate) struct ScriptedContainerd {
    socket: PathBuf,
    calls: Arc<Calls>,
    server: Option<JoinHandle<()>>,
}

impl ScriptedContainerd {
    /// Starts without tasks. The socket is in `directory`.
    pub(crate) fn start(directory: &Path) -> Self {
        let socket = directory.join("containerd.sock");
        let mut started = Self { socket, calls: Arc::default(), server: None };
        started.play([Step::Start]);
        started
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn play(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            match step {
                Step::Start => {
                    let listener = UnixListener::bind(&self.socket).expect("the socket is free");
                    self.server = Some(tokio::spawn(server::serve(listener, Arc::clone(&self.calls))));
                }
                Step::Stop => {
                    self.server.take().expect("it runs").abort();
                    std::fs::remove_file(&self.socket).expect("is ours");
                    self.calls.end_streams();
                }
                step => self.calls.play(step),
            }
        }
    }

    /// Makes the next call of this method wait until the answer is dropped.
    pub(crate) fn hold(&mut self, method: Method) -> Held {
        let (is_reached, reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.play([Step::Fault(method, Fault::Hold { reached: is_reached, released })]);
        Held { reached, _release: release }
    }

    /// Waits until the method was called `more` times from now on.
    pub(crate) async fn called(&self, method: Method, more: u64) {
        self.calls.called(method, more).await;
    }

    /// Waits until somebody is subscribed to events.
    pub(crate) async fn subscribed(&self) {
        self.calls.subscribed().await;
    }
}

impl Drop for ScriptedContainerd {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
