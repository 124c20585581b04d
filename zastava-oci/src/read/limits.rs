//! What a reader accepts at most.

/// What a [`LayoutReader`](super::LayoutReader) accepts at most. [`ReadError::Limit`](super::ReadError::Limit) names the
/// limit that was exceeded.
///
/// Memory depends on `document_bytes`, `archive_entries` and `extended_header_bytes` only: blobs and layers are
/// streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a JSON document: index, manifest, configuration.
    pub document_bytes: u64,
    /// Documents that one call reads, such as all manifests of an index.
    pub documents: usize,
    /// Indexes inside one another, `index.json` not counted.
    pub index_depth: usize,
    /// Entries of a layout archive.
    pub archive_entries: usize,
    /// Entries of a layer.
    pub layer_entries: u64,
    /// Bytes of a layer's uncompressed tar.
    pub layer_bytes: u64,
    /// Bytes of the extended headers (long names, PAX records) of one tar entry.
    pub extended_header_bytes: u64,
    /// Bytes of a path or link target in a layer.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Registries refuse larger manifests.
            document_bytes: 4 << 20,
            documents: 4096,
            index_depth: 4,
            archive_entries: 1 << 18,
            layer_entries: 1 << 24,
            layer_bytes: 1 << 38,
            extended_header_bytes: 1 << 20,
            // PATH_MAX of Linux.
            path_bytes: 4096,
        }
    }
}
