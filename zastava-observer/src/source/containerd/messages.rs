//! The messages of containerd's API that are used, written by hand.
//!
//! Field numbers are those of `api/services/*/v1` and `api/events` in containerd/containerd, equal from 1.6
//! to 2.3. Protobuf skips the fields that are left out here (docs/design/observer.md#why-are-the-containerd-messages-written-by-hand).

use std::collections::HashMap;

use prost::Message;

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// `containerd.services.version.v1.VersionResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}

/// `containerd.services.namespaces.v1.ListNamespacesRequest`, `…containers.v1`, `…tasks.v1.ListTasksRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRequest {}

/// `containerd.services.namespaces.v1.ListNamespacesResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) namespaces: Vec<Namespace>,
}

/// `containerd.services.namespaces.v1.Namespace`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `containerd.services.tasks.v1.ListTasksResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListTasksResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) tasks: Vec<Task>,
}

/// `containerd.v1.types.Process`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Task {
    // In a list of tasks `id` names the container; `container_id` is only set for further processes.
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(enumeration = "TaskStatus", tag = "4")]
    pub(super) status: i32,
    #[prost(uint32, tag = "9")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) exited_at: Option<Time>,
}

/// `containerd.v1.types.Status`
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum TaskStatus {
    Unknown = 0,
    Created = 1,
    Running = 2,
    Stopped = 3,
    Paused = 4,
    Pausing = 5,
}

/// `containerd.services.containers.v1.GetContainerRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetContainerRequest {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// `containerd.services.containers.v1.GetContainerResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<ContainerRecord>,
}

/// `containerd.services.containers.v1.Container`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerRecord {
    #[prost(map = "string, string", tag = "2")]
    pub(super) labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub(super) image: String,
    #[prost(message, optional, tag = "5")]
    pub(super) spec: Option<Any>,
    #[prost(string, tag = "6")]
    pub(super) snapshotter: String,
    #[prost(string, tag = "7")]
    pub(super) snapshot_key: String,
    #[prost(message, optional, tag = "8")]
    pub(super) created_at: Option<Time>,
    /// What the client that made the container keeps there. Labels may come from the image; these do not.
    #[prost(map = "string, message", tag = "10")]
    pub(super) extensions: HashMap<String, Any>,
}

/// `containerd.services.images.v1.GetImageRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetImageRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `containerd.services.images.v1.GetImageResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) image: Option<Image>,
}

/// `containerd.services.images.v1.Image`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(message, optional, tag = "3")]
    pub(super) target: Option<Descriptor>,
    #[prost(message, optional, tag = "8")]
    pub(super) updated_at: Option<Time>,
}

/// `containerd.types.Descriptor`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Descriptor {
    #[prost(string, tag = "2")]
    pub(super) digest: String,
}

/// `containerd.services.snapshots.v1.StatSnapshotRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatSnapshotRequest {
    #[prost(string, tag = "1")]
    pub(super) snapshotter: String,
    #[prost(string, tag = "2")]
    pub(super) key: String,
}

/// `containerd.services.snapshots.v1.StatSnapshotResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatSnapshotResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<SnapshotInfo>,
}

/// `containerd.services.snapshots.v1.Info`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SnapshotInfo {
    #[prost(string, tag = "2")]
    pub(super) parent: String,
}

/// `containerd.services.content.v1.ReadContentRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

/// `containerd.services.content.v1.ReadContentResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadContentResponse {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

/// `containerd.services.events.v1.SubscribeRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    pub(super) filters: Vec<String>,
}

/// `containerd.services.events.v1.Envelope`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Time>,
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) topic: String,
    #[prost(message, optional, tag = "4")]
    pub(super) event: Option<Any>,
}

/// `containerd.services.tasks.v1.GetRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTaskRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
}

/// `containerd.services.tasks.v1.GetResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTaskResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<Task>,
}

/// `containerd.events.TaskCreate`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskCreate {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    /// Where the shim keeps the container on the node. Its root is mounted in there.
    #[prost(string, tag = "2")]
    pub(super) bundle: String,
    #[prost(uint32, tag = "6")]
    pub(super) pid: u32,
}

/// `containerd.events.TaskDelete`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskDelete {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(uint32, tag = "2")]
    pub(super) pid: u32,
    #[prost(uint32, tag = "3")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "4")]
    pub(super) exited_at: Option<Time>,
    /// The process; empty for the main one.
    #[prost(string, tag = "5")]
    pub(super) id: String,
}

/// `containerd.events.TaskStart`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskStart {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(uint32, tag = "2")]
    pub(super) pid: u32,
}

/// `containerd.events.TaskExecStarted`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskExecStarted {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(string, tag = "2")]
    pub(super) exec_id: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
}

/// `containerd.events.TaskExit`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskExit {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    /// The process; equal to `container_id` for the main one.
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(uint32, tag = "4")]
    pub(super) exit_status: u32,
    #[prost(message, optional, tag = "5")]
    pub(super) exited_at: Option<Time>,
}
