//! The calls of CRI that only read: Version, ListContainers, ContainerStatus, ImageStatus, GetContainerEvents.
//!
//! Whoever may write to the socket is root on the node, so this type offers no other call.

use std::time::Duration;

use async_trait::async_trait;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use zastava_core::vocabulary::Engine;

use super::error::{ClientError, IMAGE, STATUS, refused};
use super::messages::{
    Containers, Event, Everything, Image, ImageRequest, ImageResponse, ImageSpec, Listed, StatusRequest,
    StatusResponse, Version,
};
use crate::source::session;
use crate::source::socket::Socket;

/// The name that CRI-O gives itself.
const NAME: &str = "cri-o";
/// The largest answer. CRI-O sends up to 16 MiB; tonic's default of 4 MiB is less than the list of a busy node.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// A look-up may wait for one container alone.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to CRI-O. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::source) struct Client {
    channel: Channel,
}

#[async_trait]
impl session::Client for Client {
    const ENGINE: Engine = Engine::CriO;
    type Error = ClientError;

    /// Another engine that speaks CRI is refused: on containerd, `GetContainerEvents` harms the kubelet.
    async fn connect(socket: Socket) -> Result<(Self, String), ClientError> {
        let failed = |source| ClientError::Connect { socket: socket.path().to_owned(), source };
        let client = Self { channel: socket.grpc().await.map_err(failed)? };
        let method = "/runtime.v1.RuntimeService/Version";
        let version: Version = client.call(method, LOOK_UP_TIMEOUT, Everything {}).await?;
        match version.runtime_name.as_str() {
            NAME => Ok((client, version.runtime_version)),
            _ => Err(ClientError::Other { socket: socket.path().to_owned(), name: version.runtime_name }),
        }
    }
}

impl Client {
    /// All containers, ended ones too.
    pub(super) async fn containers(&self) -> Result<Vec<Listed>, ClientError> {
        let method = "/runtime.v1.RuntimeService/ListContainers";
        let answer: Containers = self.call(method, LIST_TIMEOUT, Everything {}).await?;
        Ok(answer.containers)
    }

    /// `None` if the container does not exist any more.
    pub(super) async fn status(&self, id: &str) -> Result<Option<StatusResponse>, ClientError> {
        let request = StatusRequest { container_id: id.to_owned(), verbose: true };
        found(self.call(STATUS, LOOK_UP_TIMEOUT, request).await)
    }

    /// `None` if the image does not exist any more.
    pub(super) async fn image(&self, id: &str) -> Result<Option<Image>, ClientError> {
        let image = Some(ImageSpec { image: id.to_owned(), ..ImageSpec::default() });
        let answer = self.call::<_, ImageResponse>(IMAGE, LOOK_UP_TIMEOUT, ImageRequest { image }).await;
        Ok(found(answer)?.and_then(|answer| answer.image))
    }

    /// Starts and ends of containers from now on. The answer is an end at once unless CRI-O's `enable_pod_events` is set.
    pub(super) async fn events(&self) -> Result<Streaming<Event>, ClientError> {
        let method = "/runtime.v1.RuntimeService/GetContainerEvents";
        let mut grpc = self.ready(method).await?;
        let (path, codec) = (PathAndQuery::from_static(method), ProstCodec::<Everything, Event>::default());
        let opened = grpc.server_streaming(Request::new(Everything {}), path, codec).await;
        Ok(opened.map_err(|status| refused(method, status))?.into_inner())
    }

    async fn call<Q, A>(&self, method: &'static str, timeout: Duration, request: Q) -> Result<A, ClientError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let call = async {
            let mut grpc = self.ready(method).await?;
            let path = PathAndQuery::from_static(method);
            let answer = grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await;
            Ok(answer.map_err(|status| refused(method, status))?.into_inner())
        };
        tokio::time::timeout(timeout, call).await.unwrap_or(Err(ClientError::TimedOut { method }))
    }

    async fn ready(&self, method: &'static str) -> Result<Grpc<Channel>, ClientError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        match grpc.ready().await {
            Ok(()) => Ok(grpc),
            Err(error) => Err(refused(method, Status::unavailable(error.to_string()))),
        }
    }
}

/// A container or image that is gone is an answer, not a failure.
fn found<A>(answer: Result<A, ClientError>) -> Result<Option<A>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Call { code: Code::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
