//! Which image a container runs.
//!
//! A name in containerd's image store can be moved: a pull or a tag points it to another image, while containers go on
//! that were made of the one before. So a digest counts only if something that belongs to the container confirms it
//! (docs/design/observer.md#which-facts-are-looked-up-by-a-name-that-can-move):
//!
//! * CRI records the image's id, the digest of its config. A name that leads to an image with this id is right.
//! * Otherwise the name must not have changed since the container was made, and the container's root file system must be
//!   made of the image's layers.

use std::str::FromStr as _;

use serde::Deserialize;
use zastava_core::image::{Digest, ImageReference};

use super::client::{Client, ClientError};
use super::container::Container;
use super::messages::{Image, SnapshotInfo};

/// The largest manifest or config that is read.
pub(super) const CONTENT_BYTES_MAX: usize = 4 << 20;
/// The most manifests of an index that are looked at: one for each platform.
const MANIFESTS_MAX: usize = 64;
/// A container's snapshot, one that maps users, and that of the image's last layer.
const SNAPSHOTS_MAX: usize = 4;

/// A container's image, as an event names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageFound {
    /// `repository@sha256:…`, or the name as it stands.
    pub(super) reference: String,
    /// Why there is no digest.
    pub(super) without_digest: Option<&'static str>,
}

/// Looks up images of one containerd namespace.
pub(super) struct Images<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
}

/// An image's manifest, or the list of those for all platforms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    config: Option<Descriptor>,
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

/// The part of an image's config that is read.
#[derive(Debug, Deserialize)]
struct Config {
    rootfs: RootFs,
    #[serde(default)]
    config: ImageProcess,
}

/// The process that an image declares (OCI image-spec, config.md).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageProcess {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Images<'_> {
    /// The container's image; `None` if it has none.
    pub(super) async fn find(&self, container: &Container) -> Result<Option<ImageFound>, ClientError> {
        let Some(name) = container.image_name() else { return Ok(None) };
        let Ok(reference) = ImageReference::from_str(name) else {
            return Ok(Some(ImageFound { reference: name.to_owned(), without_digest: None }));
        };
        if let Some(pinned) = reference.pinned() {
            return Ok(Some(ImageFound { reference: pinned, without_digest: None }));
        }
        let digest = match container.image_id() {
            Some(id) => self.with_id(id, &reference).await?,
            None => self.unmoved(name, container).await?,
        };
        Ok(Some(match digest.map(|digest| reference.at(digest).pinned()) {
            Ok(Some(reference)) => ImageFound { reference, without_digest: None },
            Ok(None) => ImageFound { reference: name.to_owned(), without_digest: None },
            Err(reason) => ImageFound { reference: name.to_owned(), without_digest: Some(reason) },
        }))
    }

    /// The digest, in the reference's repository, of the image with this id.
    async fn with_id(
        &self,
        id: Digest,
        reference: &ImageReference,
    ) -> Result<Result<Digest, &'static str>, ClientError> {
        // CRI names each image by its id too. That name can only lead to an image with this id.
        let by_id = self.target(&id.to_string()).await?;
        let by_name = self.target(&reference.to_string()).await?;
        if let Some(target) = by_name
            && (by_id == Some(target) || self.configs(target).await?.iter().any(|(config, _)| *config == id))
        {
            return Ok(Ok(target));
        }
        // The repository has it under this digest, if CRI pulled it from there.
        if let Some(target) = by_id
            && let Some(pinned) = reference.at(target).pinned()
            && self.target(&pinned).await? == Some(target)
        {
            return Ok(Ok(target));
        }
        Ok(Err(match by_name {
            Some(_) => "the image's name leads to another image by now",
            None => "the image's name is gone",
        }))
    }

    /// The digest that the container's image name leads to, if it did so when the container was made.
    async fn unmoved(
        &self,
        name: &str,
        container: &Container,
    ) -> Result<Result<Digest, &'static str>, ClientError> {
        let record = container.record();
        let Some(image) = self.client.image(self.namespace, name).await? else {
            return Ok(Err("the image's name is gone"));
        };
        let Some(target) = target(&image) else { return Ok(Err("the image's name leads to no digest")) };
        match (image.updated_at, record.created_at) {
            (Some(image), Some(container))
                if (image.seconds, image.nanos) <= (container.seconds, container.nanos) => {}
            _ => return Ok(Err("the image's name was changed after the container was made")),
        }
        let Some(layers) = self.layers(&record.snapshotter, &record.snapshot_key).await? else {
            return Ok(Err("it is not known of which layers the container is made"));
        };
        let configs = self.configs(target).await?;
        Ok(match configs.iter().any(|(_, chain)| *chain == layers) {
            true => Ok(target),
            false if configs.is_empty() => Err("the image's layers are not known"),
            false => Err("the container is made of other layers than the image"),
        })
    }

    /// What the image declares to be executed; nothing if it is not known which config the container was made of.
    pub(super) async fn entrypoint(
        &self,
        container: &Container,
        image: &ImageFound,
    ) -> Result<Vec<String>, ClientError> {
        let config = match container.image_id() {
            Some(id) => Some(id),
            None => self.only_config(image).await?,
        };
        let Some(config) = config else { return Ok(Vec::new()) };
        let declared = self.json::<Config>(config).await?.map(|config| config.config).unwrap_or_default();
        Ok(declared.entrypoint.into_iter().chain(declared.cmd).flatten().collect())
    }

    /// The one config on this node of an image whose digest is certain.
    async fn only_config(&self, image: &ImageFound) -> Result<Option<Digest>, ClientError> {
        let digest = ImageReference::from_str(&image.reference).ok().and_then(|image| image.digest());
        let Some(digest) = digest else { return Ok(None) };
        let configs = self.configs(digest).await?;
        Ok(match &configs[..] {
            [(config, _)] => Some(*config),
            _ => None,
        })
    }

    async fn target(&self, name: &str) -> Result<Option<Digest>, ClientError> {
        Ok(self.client.image(self.namespace, name).await?.as_ref().and_then(target))
    }

    /// The chain of layers below a container's own; `None` if the snapshots do not say. `Some(None)` is an image without
    /// layers.
    async fn layers(&self, snapshotter: &str, key: &str) -> Result<Option<Option<Digest>>, ClientError> {
        let mut key = key.to_owned();
        for _ in 0..SNAPSHOTS_MAX {
            let found = self.client.snapshot(self.namespace, snapshotter, &key).await?;
            let Some(SnapshotInfo { parent }) = found else { return Ok(None) };
            match Digest::from_str(&parent) {
                Ok(chain) => return Ok(Some(Some(chain))),
                Err(_) if parent.is_empty() => return Ok(Some(None)),
                Err(_) => key = parent,
            }
        }
        Ok(None)
    }

    /// The configs that an image has on this node, each with the chain of its layers.
    async fn configs(&self, target: Digest) -> Result<Vec<(Digest, Option<Digest>)>, ClientError> {
        let Some(manifest) = self.json::<Manifest>(target).await? else { return Ok(Vec::new()) };
        let mut configs: Vec<_> = manifest.config.iter().filter_map(Descriptor::digest).collect();
        for platform in manifest.manifests.iter().take(MANIFESTS_MAX).filter_map(Descriptor::digest) {
            let manifest = self.json::<Manifest>(platform).await?;
            configs.extend(manifest.and_then(|manifest| manifest.config?.digest()));
        }
        let mut found = Vec::new();
        for digest in configs {
            let Some(config) = self.json::<Config>(digest).await? else { continue };
            if let Some(chain) = chain(&config.rootfs.diff_ids) {
                found.push((digest, chain));
            }
        }
        Ok(found)
    }

    /// `None` if the node does not have it, or it is something else.
    async fn json<T: for<'de> Deserialize<'de>>(&self, digest: Digest) -> Result<Option<T>, ClientError> {
        let content = self.client.content(self.namespace, digest, CONTENT_BYTES_MAX).await?;
        let content = content.filter(|content| Digest::of(content) == digest);
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }
}

impl Descriptor {
    fn digest(&self) -> Option<Digest> {
        Digest::from_str(&self.digest).ok()
    }
}

fn target(image: &Image) -> Option<Digest> {
    Digest::from_str(&image.target.as_ref()?.digest).ok()
}

/// The chain ID of layers (OCI image-spec, config.md, "Layer ChainID"): what containerd names the snapshot of the last one.
/// `Some(None)` without layers; `None` if one of them is no digest.
fn chain(diff_ids: &[String]) -> Option<Option<Digest>> {
    let mut chain = None;
    for diff_id in diff_ids {
        let layer = Digest::from_str(diff_id).ok()?;
        chain = Some(match chain {
            None => layer,
            Some(below) => Digest::of(format!("{below} {layer}").as_bytes()),
        });
    }
    Some(chain)
}
