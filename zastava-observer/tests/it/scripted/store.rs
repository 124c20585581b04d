//! What containerd stores beside its tasks: records of containers, images, snapshots, content.

use std::collections::BTreeMap;

use prost::Message as _;

use super::messages::{
    Any, ContainerRecord, Descriptor, GetImageRequest, GetImageResponse, Image, ReadContentRequest,
    ReadContentResponse, SnapshotInfo, StatSnapshotRequest, StatSnapshotResponse, Time,
};

const SNAPSHOTTER: &str = "overlayfs";

/// One thing that is stored. What was stored under the same key is replaced.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The record of a container: its image's name, when it was made, and what CRI recorded, if it was CRI.
    Container {
        id: &'static str,
        image: String,
        created: i64,
        cri: Option<String>,
    },
    /// A name of an image, what it leads to, and when it was changed last.
    Image {
        name: String,
        digest: String,
        updated: i64,
    },
    /// A snapshot and the one below it.
    Snapshot {
        key: String,
        parent: String,
    },
    Content {
        digest: String,
        bytes: Vec<u8>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Store {
    containers: BTreeMap<&'static str, ContainerRecord>,
    images: BTreeMap<String, Image>,
    snapshots: BTreeMap<String, String>,
    content: BTreeMap<String, Vec<u8>>,
}

impl Store {
    pub(super) fn put(&mut self, item: Item) {
        match item {
            Item::Container { id, image, created, cri } => {
                let cri = cri.map(|json| Any { type_url: String::new(), value: json.into_bytes() });
                let record = ContainerRecord {
                    image,
                    snapshotter: SNAPSHOTTER.to_owned(),
                    snapshot_key: id.to_owned(),
                    created_at: Some(at(created)),
                    extensions: cri
                        .map(|cri| ("io.cri-containerd.container.metadata".to_owned(), cri))
                        .into_iter()
                        .collect(),
                    ..ContainerRecord::default()
                };
                self.containers.insert(id, record);
            }
            Item::Image { name, digest, updated } => {
                let image = Image { target: Some(Descriptor { digest }), updated_at: Some(at(updated)) };
                self.images.insert(name, image);
            }
            Item::Snapshot { key, parent } => drop(self.snapshots.insert(key, parent)),
            Item::Content { digest, bytes } => drop(self.content.insert(digest, bytes)),
        }
    }

    /// The container's record. A container that was not stored has one that says little.
    pub(super) fn container(&self, id: &str) -> ContainerRecord {
        let unstored = || {
            let image = "registry.internal/demo:1".to_owned();
            ContainerRecord { image, ..ContainerRecord::default() }
        };
        self.containers.get(id).cloned().unwrap_or_else(unstored)
    }

    pub(super) fn image(&self, request: &[u8]) -> Option<GetImageResponse> {
        let name = GetImageRequest::decode(request).ok()?.name;
        Some(GetImageResponse { image: Some(self.images.get(&name)?.clone()) })
    }

    pub(super) fn snapshot(&self, request: &[u8]) -> Option<StatSnapshotResponse> {
        let request = StatSnapshotRequest::decode(request).ok()?;
        let parent = self.snapshots.get(&request.key).filter(|_| request.snapshotter == SNAPSHOTTER)?;
        Some(StatSnapshotResponse { info: Some(SnapshotInfo { parent: parent.clone() }) })
    }

    /// In two parts, as containerd sends what is long.
    pub(super) fn content(&self, request: &[u8]) -> Option<[ReadContentResponse; 2]> {
        let content = self.content.get(&ReadContentRequest::decode(request).ok()?.digest)?;
        let (head, tail) = content.split_at(content.len() / 2);
        Some([head, tail].map(|data| ReadContentResponse { data: data.to_vec() }))
    }
}

fn at(seconds: i64) -> Time {
    Time { seconds, nanos: 0 }
}
