//! The messages of CRI v1 that are used, written by hand.
//!
//! Field numbers are those of `pkg/apis/runtime/v1/api.proto` in kubernetes/cri-api 0.36. Protobuf skips the fields that are left
//! out here.

use std::collections::HashMap;

use prost::Message;

/// `runtime.v1.VersionRequest`, `runtime.v1.ListContainersRequest`, `runtime.v1.GetEventsRequest`: each asks for everything.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Everything {}

/// `runtime.v1.VersionResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

/// `runtime.v1.ListContainersResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Containers {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Listed>,
}

/// `runtime.v1.Container`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Listed {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(enumeration = "State", tag = "6")]
    pub(super) state: i32,
}

/// `runtime.v1.ContainerState`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    Created = 0,
    Running = 1,
    Exited = 2,
    Unknown = 3,
}

/// `runtime.v1.ContainerStatusRequest`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

/// `runtime.v1.ContainerStatusResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    /// `info` holds JSON of the engine's own.
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

/// `runtime.v1.ContainerStatus`. Times are nanoseconds since the Unix epoch.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<Metadata>,
    #[prost(enumeration = "State", tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "5")]
    pub(super) started_at: i64,
    #[prost(int64, tag = "6")]
    pub(super) finished_at: i64,
    #[prost(int32, tag = "7")]
    pub(super) exit_code: i32,
    /// The image as it was asked for.
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<ImageSpec>,
    /// A repository's digest of the image, or its id.
    #[prost(string, tag = "9")]
    pub(super) image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    pub(super) labels: HashMap<String, String>,
    /// Since CRI-O 1.29.
    #[prost(string, tag = "17")]
    pub(super) image_id: String,
}

/// `runtime.v1.ContainerMetadata`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Metadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `runtime.v1.ImageSpec`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(super) image: String,
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

/// `runtime.v1.ImageStatusRequest`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ImageRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) image: Option<ImageSpec>,
}

/// `runtime.v1.ImageStatusResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ImageResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) image: Option<Image>,
}

/// `runtime.v1.Image`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Image {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(super) repo_digests: Vec<String>,
}

/// `runtime.v1.ContainerEventResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
}
