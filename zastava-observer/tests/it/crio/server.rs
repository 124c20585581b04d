//! A scripted CRI-O: the CRI calls that the observer makes, on a Unix socket of this process.

// The client's own messages: their field numbers are those of CRI's api.proto.
#[path = "../../../src/source/crio/messages.rs"]
#[allow(dead_code, reason = "the server reads few kinds of requests")]
mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;

use self::messages::{
    Containers, Event, ImageSpec, Listed, Metadata, State, Status, StatusRequest, StatusResponse, Version,
};
use crate::scripted::{Answer, respond};

/// A container of the script.
#[derive(Clone, Debug)]
struct Scripted {
    pid: u32,
    exit_code: Option<i32>,
    is_listed: bool,
}

#[derive(Debug, Default)]
struct Script {
    name: &'static str,
    containers: BTreeMap<String, Scripted>,
    /// Whether `enable_pod_events` is set.
    has_events: bool,
    streams: Vec<mpsc::UnboundedSender<Bytes>>,
    /// The next calls of these methods fail.
    failures: Vec<(&'static str, Code)>,
    /// A time for each start and end, in their order.
    clock: i64,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    calls: watch::Sender<BTreeMap<String, u64>>,
}

/// A CRI-O whose behaviour is a script. Its containers have no processes, unless the test has.
pub(super) struct ScriptedCrio {
    socket: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl ScriptedCrio {
    /// Starts without containers. `name` is what it calls itself.
    pub(super) fn start(directory: &Path, name: &'static str) -> Self {
        let socket = directory.join("crio.sock");
        let mut started = Self { socket, shared: Arc::default(), server: None };
        started.script().name = name;
        started.resume();
        started
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn enable_events(&self) {
        self.script().has_events = true;
    }

    /// A container runs. No event is sent.
    pub(super) fn run(&self, id: &str, pid: u32) {
        let scripted = Scripted { pid, exit_code: None, is_listed: true };
        self.script().containers.insert(id.to_owned(), scripted);
    }

    /// A container ends. No event is sent.
    pub(super) fn exit(&self, id: &str, exit_code: i32) {
        self.script().containers.get_mut(id).expect("is there").exit_code = Some(exit_code);
    }

    /// A container that came and ended before anybody could ask.
    pub(super) fn run_and_exit(&self, id: &str, exit_code: i32) {
        let scripted = Scripted { pid: 4711, exit_code: Some(exit_code), is_listed: true };
        self.script().containers.insert(id.to_owned(), scripted);
    }

    pub(super) fn remove(&self, id: &str) {
        self.script().containers.remove(id);
    }

    /// Whether lists name the container.
    pub(super) fn list(&self, id: &str, is_listed: bool) {
        self.script().containers.get_mut(id).expect("is there").is_listed = is_listed;
    }

    /// Every reader of events gets one of this container.
    pub(super) fn send(&self, id: &str) {
        let event = Bytes::from(Event { container_id: id.to_owned() }.encode_to_vec());
        self.script().streams.retain(|stream| stream.send(event.clone()).is_ok());
    }

    pub(super) fn end_streams(&self) {
        self.script().streams.clear();
    }

    /// The next call of this method fails.
    pub(super) fn fail(&self, method: &'static str, code: Code) {
        self.script().failures.push((method, code));
    }

    /// Stops: connections are cut, and new ones are refused.
    pub(super) async fn pause(&mut self) {
        let server = self.server.take().expect("it runs");
        server.abort();
        assert!(server.await.is_err_and(|error| error.is_cancelled()));
        std::fs::remove_file(&self.socket).expect("is ours");
        self.end_streams();
    }

    pub(super) fn resume(&mut self) {
        let listener = UnixListener::bind(&self.socket).expect("the socket is free");
        self.server = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
    }

    /// How often the method was called.
    pub(super) fn calls(&self, method: &str) -> u64 {
        self.shared.calls.borrow().get(method).copied().unwrap_or(0)
    }

    /// Waits until the method was called `more` times from now on.
    pub(super) async fn called(&self, method: &str, more: u64) {
        let wanted = self.calls(method) + more;
        let mut calls = self.shared.calls.subscribe();
        let reached = calls.wait_for(|calls| calls.get(method).copied().unwrap_or(0) >= wanted).await;
        reached.expect("the script lives");
    }

    /// Waits until somebody reads events.
    pub(super) async fn subscribed(&self) {
        while self.script().streams.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedCrio {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("the socket accepts");
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let http = http2::Builder::new(TokioExecutor::new());
        connections.spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<crate::scripted::Body>, hyper::Error> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let message = request.into_body().collect().await?.to_bytes();
    // Flag and length stand in front of the message.
    let message = message.get(5..).unwrap_or_default().to_vec();
    let answer = shared.script.lock().unwrap_or_else(PoisonError::into_inner).answer(&method, &message);
    shared.calls.send_modify(|calls| *calls.entry(method).or_default() += 1);
    Ok(respond(answer))
}

impl Script {
    fn answer(&mut self, method: &str, message: &[u8]) -> Answer {
        if let Some(at) = self.failures.iter().position(|(failing, _)| *failing == method) {
            return Answer::Failed(self.failures.remove(at).1);
        }
        match method {
            "Version" => {
                let (runtime_name, runtime_version) = (self.name.to_owned(), "1.36.1".to_owned());
                message_of(&Version { runtime_name, runtime_version })
            }
            "ListContainers" => {
                let listed = self.containers.iter().filter(|(_, container)| container.is_listed);
                let containers =
                    listed.map(|(id, container)| Listed { id: id.clone(), state: container.state().into() });
                message_of(&Containers { containers: containers.collect() })
            }
            "ContainerStatus" => {
                let id = StatusRequest::decode(message).expect("is a request").container_id;
                self.clock += 1;
                match self.containers.get(&id) {
                    Some(container) => message_of(&container.status(id, self.clock)),
                    None => Answer::Failed(Code::NotFound),
                }
            }
            "GetContainerEvents" => {
                let (sender, receiver) = mpsc::unbounded_channel();
                // Without `enable_pod_events` CRI-O ends the stream at once.
                self.streams.extend(self.has_events.then_some(sender));
                Answer::Stream(receiver)
            }
            _ => Answer::Failed(Code::NotFound),
        }
    }
}

impl Scripted {
    fn state(&self) -> State {
        if self.exit_code.is_some() { State::Exited } else { State::Running }
    }

    fn status(&self, id: String, clock: i64) -> StatusResponse {
        let info = format!(
            r#"{{"sandboxID":"pod","pid":{},"runtimeSpec":{{"process":{{"args":["/app"]}}}}}}"#,
            self.pid
        );
        let status = Status {
            id,
            metadata: Some(Metadata { name: "app".to_owned() }),
            state: self.state().into(),
            started_at: 1_700_000_000_000_000_000,
            finished_at: 1_700_000_000_000_000_000 + clock,
            exit_code: self.exit_code.unwrap_or(0),
            image: Some(ImageSpec { image: "quay.io/pay/app:1".to_owned(), ..ImageSpec::default() }),
            ..Status::default()
        };
        StatusResponse { status: Some(status), info: [("info".to_owned(), info)].into() }
    }
}

fn message_of(message: &impl Message) -> Answer {
    Answer::Message(message.encode_to_vec().into())
}
