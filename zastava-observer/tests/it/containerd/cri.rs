//! CRI, as the kubelet calls it: a pod with containers. The messages are written by hand; field numbers are those of
//! `runtime/v1/api.proto` in kubernetes/cri-api.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::harness::IMAGE;
use crate::support::within;

/// `NamespaceMode`: one for the container, and the node's.
const CONTAINER: i32 = 1;
const NODE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct RunPodSandbox {
    #[prost(message, optional, tag = "1")]
    config: Option<PodConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPod>,
}

#[derive(Clone, PartialEq, Message)]
struct PodMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPod {
    #[prost(message, optional, tag = "2")]
    security: Option<PodSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSecurity {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
}

/// `RunPodSandboxResponse`, `CreateContainerResponse`, `StartContainerRequest`, `RemovePodSandboxRequest`
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    pod: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pod_config: Option<PodConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, tag = "18")]
    user_specified_image: String,
}

/// A pod of which this is the kubelet.
pub(super) struct Pod {
    channel: Channel,
    pub(super) id: String,
}

impl Pod {
    /// Runs a pod in the node's network, once containerd knows the image of its sandbox.
    pub(super) async fn run(socket: &Path) -> Self {
        let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).expect("is an address");
        let channel = endpoint.connect().await.expect("containerd listens");
        let mut pod = Self { channel, id: String::new() };
        pod.id = within(async {
            loop {
                let request = RunPodSandbox { config: Some(config()) };
                match pod.call::<_, Id>("RunPodSandbox", request).await {
                    Ok(answer) => return answer.id,
                    // It hears of an imported image a moment later.
                    Err(status) if status.message().contains("image") => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(status) => panic!("{status}"),
                }
            }
        })
        .await;
        pod
    }

    /// Runs a container of [`IMAGE`] in the pod and returns its id.
    pub(super) async fn run_container(&self, name: &str, command: &[&str]) -> String {
        self.run_container_with(name, None, command).await
    }

    /// The same with a directory of the node at `/mnt`.
    pub(super) async fn run_container_with(
        &self,
        name: &str,
        volume: Option<&Path>,
        command: &[&str],
    ) -> String {
        let mount =
            |path: &Path| Mount { container_path: "/mnt".to_owned(), host_path: path.display().to_string() };
        let labels = [("pod.namespace", "payments"), ("pod.name", "api-7d"), ("container.name", name)];
        let labels = labels.map(|(name, value)| (format!("io.kubernetes.{name}"), value.to_owned()));
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageSpec { image: IMAGE.to_owned(), user_specified_image: IMAGE.to_owned() }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            mounts: volume.map(mount).into_iter().collect(),
            labels: labels.into(),
        };
        let request =
            CreateContainer { pod: self.id.clone(), config: Some(config), pod_config: Some(self::config()) };
        let made: Id = self.call("CreateContainer", request).await.expect("can be made");
        let _: Id = self.call("StartContainer", made.clone()).await.expect("can be started");
        made.id
    }

    pub(super) async fn remove(self) {
        let _: Id = self.call("RemovePodSandbox", Id { id: self.id.clone() }).await.expect("can be removed");
    }

    async fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/runtime.v1.RuntimeService/{method}");
        let path = PathAndQuery::try_from(path).expect("is a path");
        Ok(grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await?.into_inner())
    }
}

fn config() -> PodConfig {
    let (name, namespace) = ("api-7d".to_owned(), "payments".to_owned());
    let metadata = PodMetadata { name, uid: format!("uid-{}", std::process::id()), namespace };
    let namespaces = Namespaces { network: NODE, pid: CONTAINER };
    let linux = LinuxPod { security: Some(PodSecurity { namespaces: Some(namespaces) }) };
    PodConfig { metadata: Some(metadata), linux: Some(linux) }
}
