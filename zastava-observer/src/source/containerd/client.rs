//! The calls of containerd's API that only read: Version, List, Get, Subscribe.
//!
//! Whoever may write to the socket is root on the node, so this type offers no other call. It never calls
//! CRI's `GetContainerEvents` (docs/design/observer.md#why-is-cris-getcontainerevents-never-called).

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use zastava_core::image::Digest;
use zastava_core::vocabulary::Engine;

use super::messages::{
    ContainerRecord, Envelope, GetContainerRequest, GetContainerResponse, GetImageRequest, GetImageResponse,
    GetTaskRequest, GetTaskResponse, Image, ListNamespacesResponse, ListRequest, ListTasksResponse,
    ReadContentRequest, ReadContentResponse, SnapshotInfo, StatSnapshotRequest, StatSnapshotResponse,
    SubscribeRequest, Task, VersionResponse,
};
use crate::source::session::{self, CallError};
use crate::source::socket::Socket;

/// The largest answer. containerd sends up to 16 MiB; tonic's default of 4 MiB is less than the list of a
/// busy node.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::source) enum ClientError {
    #[error("cannot connect to containerd at {}", socket.display())]
    Connect { socket: PathBuf, source: tonic::transport::Error },
    #[error("containerd refused {method} ({code:?})")]
    Call { method: &'static str, code: Code, source: Box<Status> },
    #[error("containerd did not answer {method} in time")]
    TimedOut { method: &'static str },
}

impl CallError for ClientError {}

impl ClientError {
    /// Whether the connection does not work any more. Otherwise only this call went wrong.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Call { code: Code::Unavailable, .. })
    }
}

/// A connection to containerd. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::source) struct Client {
    channel: Channel,
}

#[async_trait]
impl session::Client for Client {
    const ENGINE: Engine = Engine::Containerd;
    type Error = ClientError;

    async fn connect(socket: Socket) -> Result<(Self, String), ClientError> {
        let failed = |source| ClientError::Connect { socket: socket.path().to_owned(), source };
        let client = Self { channel: socket.grpc().await.map_err(failed)? };
        let version = client.version().await?;
        Ok((client, version))
    }
}

impl Client {
    async fn version(&self) -> Result<String, ClientError> {
        let method = "/containerd.services.version.v1.Version/Version";
        let answer: VersionResponse = self.call(method, None, ListRequest {}).await?;
        Ok(answer.version)
    }

    pub(super) async fn namespaces(&self) -> Result<Vec<String>, ClientError> {
        let method = "/containerd.services.namespaces.v1.Namespaces/List";
        let answer: ListNamespacesResponse = self.call(method, None, ListRequest {}).await?;
        Ok(answer.namespaces.into_iter().map(|namespace| namespace.name).collect())
    }

    pub(super) async fn tasks(&self, namespace: &str) -> Result<Vec<Task>, ClientError> {
        let method = "/containerd.services.tasks.v1.Tasks/List";
        let answer: ListTasksResponse = self.call(method, Some(namespace), ListRequest {}).await?;
        Ok(answer.tasks)
    }

    /// `None` if the container has no task.
    pub(super) async fn task(&self, namespace: &str, id: &str) -> Result<Option<Task>, ClientError> {
        let method = "/containerd.services.tasks.v1.Tasks/Get";
        let request = GetTaskRequest { container_id: id.to_owned() };
        let answer = self.call::<_, GetTaskResponse>(method, Some(namespace), request).await;
        Ok(found(answer)?.and_then(|answer| answer.process))
    }

    /// `None` if the container does not exist any more.
    pub(super) async fn container(
        &self,
        namespace: &str,
        id: &str,
    ) -> Result<Option<ContainerRecord>, ClientError> {
        let method = "/containerd.services.containers.v1.Containers/Get";
        let request = GetContainerRequest { id: id.to_owned() };
        let answer = self.call::<_, GetContainerResponse>(method, Some(namespace), request).await;
        Ok(found(answer)?.and_then(|answer| answer.container))
    }

    /// What the name leads to now; `None` if there is no such image.
    pub(super) async fn image(&self, namespace: &str, name: &str) -> Result<Option<Image>, ClientError> {
        let method = "/containerd.services.images.v1.Images/Get";
        let request = GetImageRequest { name: name.to_owned() };
        let answer = self.call::<_, GetImageResponse>(method, Some(namespace), request).await;
        Ok(found(answer)?.and_then(|answer| answer.image))
    }

    /// `None` if there is no such snapshot.
    pub(super) async fn snapshot(
        &self,
        namespace: &str,
        snapshotter: &str,
        key: &str,
    ) -> Result<Option<SnapshotInfo>, ClientError> {
        let method = "/containerd.services.snapshots.v1.Snapshots/Stat";
        let request = StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer = self.call::<_, StatSnapshotResponse>(method, Some(namespace), request).await;
        Ok(found(answer)?.and_then(|answer| answer.info))
    }

    /// The content with this digest; `None` if containerd does not have it or it is longer than `bytes_max`.
    pub(super) async fn content(
        &self,
        namespace: &str,
        digest: Digest,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let method = "/containerd.services.content.v1.Content/Read";
        let request = in_namespace(method, namespace, ReadContentRequest { digest: digest.to_string() })?;
        let mut grpc = self.ready(method).await?;
        let path = PathAndQuery::from_static(method);
        let codec = ProstCodec::<ReadContentRequest, ReadContentResponse>::default();
        let read = async {
            let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
            let mut content = Vec::new();
            while let Some(part) = stream.message().await? {
                if content.len() + part.data.len() > bytes_max {
                    return Ok(None);
                }
                content.extend(part.data);
            }
            Ok(Some(content))
        };
        Ok(found(in_time(method, read).await)?.flatten())
    }

    /// Every task event of every namespace from now on. Waits for the first event, since containerd
    /// answers with it.
    pub(super) async fn subscribe(&self) -> Result<Streaming<Envelope>, ClientError> {
        let method = "/containerd.services.events.v1.Events/Subscribe";
        let filters = vec!["topic~=\"/tasks/\"".to_owned()];
        let mut grpc = self.ready(method).await?;
        let path = PathAndQuery::from_static(method);
        let codec = ProstCodec::<SubscribeRequest, Envelope>::default();
        let opened = grpc.server_streaming(Request::new(SubscribeRequest { filters }), path, codec).await;
        Ok(opened.map_err(|status| refused(method, status))?.into_inner())
    }

    async fn call<Q, A>(
        &self,
        method: &'static str,
        namespace: Option<&str>,
        request: Q,
    ) -> Result<A, ClientError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = match namespace {
            Some(namespace) => in_namespace(method, namespace, request)?,
            None => Request::new(request),
        };
        let mut grpc = self.ready(method).await?;
        let path = PathAndQuery::from_static(method);
        let call = grpc.unary(request, path, ProstCodec::<Q, A>::default());
        Ok(in_time(method, call).await?.into_inner())
    }

    async fn ready(&self, method: &'static str) -> Result<Grpc<Channel>, ClientError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ready = async { grpc.ready().await.map_err(|error| Status::unavailable(error.to_string())) };
        tokio::time::timeout(CALL_TIMEOUT, ready)
            .await
            .map_err(|_| ClientError::TimedOut { method })?
            .map_err(|status| refused(method, status))?;
        Ok(grpc)
    }
}

fn in_namespace<Q>(method: &'static str, namespace: &str, request: Q) -> Result<Request<Q>, ClientError> {
    let mut request = Request::new(request);
    let value = MetadataValue::try_from(namespace).map_err(|_| {
        refused(method, Status::invalid_argument("the namespace is not a valid header value"))
    })?;
    request.metadata_mut().insert("containerd-namespace", value);
    Ok(request)
}

async fn in_time<T>(
    method: &'static str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, ClientError> {
    let answer = tokio::time::timeout(CALL_TIMEOUT, call).await;
    answer.map_err(|_| ClientError::TimedOut { method })?.map_err(|status| refused(method, status))
}

pub(super) fn refused(method: &'static str, status: Status) -> ClientError {
    ClientError::Call { method, code: status.code(), source: Box::new(status) }
}

/// A container or image that is gone is an answer, not a failure.
fn found<A>(answer: Result<A, ClientError>) -> Result<Option<A>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Call { code: Code::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
