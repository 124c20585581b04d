//! The calls of Docker Engine's API that only read: version, containers, images, events.
//!
//! Whoever may write to the socket is root on the node, so this type offers no other call. Paths carry no version: Docker then
//! answers with its own, and a newer one refuses old versions.

use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use zastava_core::clock::Timestamp;
use zastava_core::vocabulary::Engine;

use super::answers::{Facts, Image, Listed, Version};
use super::arrivals::Arrivals;
use super::error::{CONTAINER, ClientError, EVENTS, IMAGE, LIST, VERSION};
use super::lines::Lines;
use crate::source::session::{self, SessionError};
use crate::source::socket::Socket;
use crate::text::{bounded, readable};

/// The largest list, and the largest other answer.
const LIST_BYTES_MAX: usize = 16 << 20;
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// A list takes a lock that a slow container holds. A look-up of one container may wait for that container alone.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// `{"type":["container"],"event":["start","die"]}`, percent-encoded (RFC 3986, section 2.1).
const EVENT_FILTERS: &str =
    "%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";

/// A call: its name in errors, and what is expected of its answer.
struct Call {
    name: &'static str,
    path: String,
    bytes_max: usize,
    timeout: Duration,
}

/// Docker Engine at a socket. Each call has a connection of its own.
#[derive(Debug)]
pub(in crate::source) struct Client {
    socket: Socket,
}

#[async_trait]
impl session::Client for Client {
    const ENGINE: Engine = Engine::Docker;
    type Error = ClientError;

    async fn connect(socket: Socket) -> Result<(Self, String), ClientError> {
        let client = Self { socket };
        let version = client.version().await?;
        Ok((client, version))
    }
}

impl Client {
    async fn version(&self) -> Result<String, ClientError> {
        let version = self.answer::<Version>(look_up(VERSION, "/version".to_owned())).await?;
        Ok(version.map(|version| version.version).unwrap_or_default())
    }

    /// The containers that run, paused ones too.
    pub(super) async fn containers(&self) -> Result<Vec<Listed>, ClientError> {
        let (path, bytes_max) = ("/containers/json".to_owned(), LIST_BYTES_MAX);
        let call = Call { name: LIST, path, bytes_max, timeout: LIST_TIMEOUT };
        Ok(self.answer(call).await?.unwrap_or_default())
    }

    /// `None` if the container does not exist any more, or `id` is none.
    pub(super) async fn container(&self, id: &str) -> Result<Option<Facts>, ClientError> {
        match is_id(id) {
            true => self.answer(look_up(CONTAINER, format!("/containers/{id}/json"))).await,
            false => Ok(None),
        }
    }

    /// `None` if the image does not exist any more, or `id` is none.
    pub(super) async fn image(&self, id: &str) -> Result<Option<Image>, ClientError> {
        match id.strip_prefix("sha256:").is_some_and(is_id) {
            true => self.answer(look_up(IMAGE, format!("/images/{id}/json"))).await,
            false => Ok(None),
        }
    }

    /// Takes every start and end of a container as soon as it comes, until the stream ends.
    pub(super) async fn read_events(&self, arrivals: &mut Arrivals, gap: &Notify) -> SessionError {
        match self.follow_events(arrivals, gap).await {
            Ok(ended) => ended,
            Err(error) => error.into(),
        }
    }

    async fn follow_events(
        &self,
        arrivals: &mut Arrivals,
        gap: &Notify,
    ) -> Result<SessionError, ClientError> {
        let path = format!("/events?since={}&filters={EVENT_FILTERS}", unix_time(arrivals.since()));
        let failed = |source| ClientError::Connection { call: EVENTS, source };
        let connected = tokio::time::timeout(LOOK_UP_TIMEOUT, self.connect(EVENTS)).await;
        let (mut sender, connection) = connected.map_err(|_| ClientError::TimedOut { call: EVENTS })??;
        let read = async {
            let answer = sender.send_request(request(&path)).await.map_err(failed)?;
            if answer.status() != StatusCode::OK {
                return Err(ClientError::Refused {
                    call: EVENTS,
                    status: answer.status(),
                    message: String::new(),
                });
            }
            let (mut body, mut lines) = (answer.into_body(), Lines::default());
            while let Some(frame) = body.frame().await {
                if let Ok(part) = frame.map_err(failed)?.into_data() {
                    lines.push(&part, |line| arrivals.take(line, gap));
                }
            }
            Ok(SessionError::StreamEnded(Engine::Docker))
        };
        driven(connection, read).await
    }

    /// `None` if what was asked for is not there.
    async fn answer<A: DeserializeOwned>(&self, call: Call) -> Result<Option<A>, ClientError> {
        let Call { name, bytes_max, timeout, .. } = call;
        let answer = tokio::time::timeout(timeout, self.body(&call)).await;
        let (status, body) = answer.map_err(|_| ClientError::TimedOut { call: name })??;
        let Some(body) = body else { return Err(ClientError::TooLong { call: name, bytes_max }) };
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|source| ClientError::NotUnderstood { call: name, source }),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(ClientError::Refused { call: name, status, message: bounded(&readable(&body)) }),
        }
    }

    /// The body is `None` if it is too long.
    async fn body(&self, call: &Call) -> Result<(StatusCode, Option<Bytes>), ClientError> {
        let failed = |source| ClientError::Connection { call: call.name, source };
        let (mut sender, connection) = self.connect(call.name).await?;
        let read = async {
            let answer = sender.send_request(request(&call.path)).await.map_err(failed)?;
            let status = answer.status();
            match Limited::new(answer.into_body(), call.bytes_max).collect().await {
                Ok(body) => Ok((status, Some(body.to_bytes()))),
                Err(error) if error.is::<LengthLimitError>() => Ok((status, None)),
                Err(error) => match error.downcast() {
                    Ok(error) => Err(failed(*error)),
                    Err(_) => Ok((status, None)),
                },
            }
        };
        driven(connection, read).await
    }

    async fn connect(&self, call: &'static str) -> Result<Connected, ClientError> {
        let failed = |source| ClientError::Connect { socket: self.socket.path().to_owned(), source };
        let stream = self.socket.connect().await.map_err(failed)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        handshake.map_err(|source| ClientError::Connection { call, source })
    }
}

type Connected = (http1::SendRequest<Empty<Bytes>>, http1::Connection<TokioIo<UnixStream>, Empty<Bytes>>);

fn look_up(name: &'static str, path: String) -> Call {
    Call { name, path, bytes_max: ANSWER_BYTES_MAX, timeout: LOOK_UP_TIMEOUT }
}

/// Ids come from Docker. Whatever else stands in their place does not become a part of a path.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(path).header(http::header::HOST, "docker");
    request.body(Empty::new()).expect("the path holds characters of a path only")
}

/// Unix time as Docker reads it: seconds, a point, nanoseconds.
fn unix_time(time: Timestamp) -> String {
    let since = time.saturating_since(Timestamp::UNIX_EPOCH);
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// Does the work of the connection until `work` is done.
async fn driven<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection), pin!(work));
    tokio::select! {
        biased;
        done = &mut work => done,
        // What the connection has received, or why it failed, is in the hands of `work` by then.
        _ = &mut connection => work.await,
    }
}
