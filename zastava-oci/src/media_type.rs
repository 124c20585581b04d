//! Media types, in the spelling of OCI and in Docker's.
//!
//! Docker's manifests, configurations and layers have the same content under other names, and layouts hold
//! both: those that `docker save` writes, for instance.

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYERS: [(&str, Packing); 8] = [
    (LAYER_TAR, Packing::Tar),
    (LAYER_GZIP, Packing::Gzip),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
    // Layers that must not be distributed: deprecated, and their blobs are often elsewhere.
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", Packing::Tar),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Packing::Gzip),
    ("application/vnd.docker.image.rootfs.diff.tar", Packing::Tar),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Packing::Gzip),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", Packing::Zstd),
];

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Tar,
    Gzip,
    Zstd,
}

pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_INDEX)
}

pub(crate) fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

pub(crate) fn is_config(media_type: &str) -> bool {
    matches!(media_type, CONFIG | DOCKER_CONFIG)
}

pub(crate) fn packing(media_type: &str) -> Option<Packing> {
    LAYERS.iter().find(|(name, _)| *name == media_type).map(|(_, packing)| *packing)
}
