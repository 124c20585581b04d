//! Writes and reads [OCI image layouts]: reproducible images without a container engine, and every byte checked
//! when read.
//!
//! * **[Write](#write)** an image from bytes, for one platform or several, as a directory or a tar archive. The same
//!   content always gives the same digest. containerd, skopeo, crane and oras read it.
//! * **[Read](#read)** a layout that anybody wrote: from a name to the image for a platform, its configuration, its layers
//!   as a stream of files.
//! * **[Refer](#refer)** to an image: attach signatures and SBOMs as artifacts, and find them again.
//!
//! # Write
//!
//! ```
//! use zastava_oci::{Entry, ImageBuilder};
//!
//! let layout = ImageBuilder::new("registry.internal/demo/hello:1")
//!     .layer([Entry::file("/etc/motd", 0o644, "welcome\n"), Entry::symlink("/bin/sh", "busybox")])
//!     .program("/bin/busybox", b"\x7fELF".to_vec())
//!     .command(["sleep", "300"])
//!     .user(65532, 65532)
//!     .build()?;
//! assert_eq!(layout.pinned(), format!("registry.internal/demo/hello@{}", layout.digest()));
//! // layout.write_archive("hello.tar")?;
//! # Ok::<(), zastava_oci::WriteError>(())
//! ```
//!
//! JSON is canonical (RFC 8785), entries are sorted, files have the time 0 and owners by number, and nothing of the
//! machine gets into the image. [`Layout::build`] makes an image for several platforms.
//!
//! # Read
//!
//! ```
//! use zastava_oci::{LayoutReader, Platform};
//! # use zastava_oci::{Entry, ImageBuilder};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("hello.tar");
//! # let image = ImageBuilder::new("registry.internal/demo/hello:1").program("/bin/hello", "#!hello");
//! # image.build()?.write_archive(&path)?;
//!
//! let layout = LayoutReader::open(path)?;
//! let image = layout.image(layout.named("1")?, &Platform::LINUX_AMD64)?;
//! assert_eq!(image.config.process.entrypoint, ["/bin/hello"]);
//! for layer in &image.layers {
//!     for entry in layout.layer(layer)? {
//!         let entry = entry?;
//!         println!("{:o} {:>8} /{}", entry.mode, entry.size, entry.path.display());
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`LayerReader`] iterates over entries, whiteouts recognised, and [reads](std::io::Read) the content of the last
//! one. Documents are held in memory, up to [`Limits::document_bytes`]; blobs and layers are streamed.
//!
//! # Refer
//!
//! ```
//! use zastava_oci::{Artifact, ImageBuilder, LayoutReader};
//!
//! let mut layout = ImageBuilder::new("registry.internal/demo/hello:1").build()?;
//! let sbom = Artifact::new("application/vnd.cyclonedx+json")
//!     .subject(layout.image())
//!     .file("hello.cdx.json", "application/vnd.cyclonedx+json", r#"{"bomFormat":"CycloneDX"}"#);
//! layout.add(sbom);
//! # let folder = tempfile::tempdir()?;
//! layout.write_directory(folder.path())?;
//!
//! let reader = LayoutReader::open(folder.path())?;
//! let referrers = reader.referrers(layout.digest())?;
//! assert_eq!(referrers[0].artifact_type.as_deref(), Some("application/vnd.cyclonedx+json"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//!
//! A reader assumes that somebody made the layout to harm it. Each blob must have the size and the digest of the descriptor
//! that names it, and each layer the `diff_id` of its configuration. A document that could be a manifest and an index is
//! refused (CVE-2021-41190). Paths do not lead out of the root. A tar header that readers are known to understand
//! differently is refused. Everything has a bound in [`Limits`].
//!
//! What this does not tell is who made an image: check the digest of the image against one that you trust, or its
//! signature.
//!
//! # Errors
//!
//! [`WriteError`] names the reference, path or file that cannot be written. [`ReadError`] names the [`Place`]: the document
//! or blob, and in it the JSON member or the byte of a tar archive. Foreign text in messages is escaped and cut off.
//!
//! # Features
//!
//! | feature | default | |
//! | --- | --- | --- |
//! | `zstd` | no | layers compressed with zstd are read, by a decoder in pure Rust; without it they are [`ReadError::MediaType`] |
//!
//! # What it does not do
//!
//! * It speaks to no registry and unpacks no layer to disk. skopeo, crane and oras copy what it writes; for a client, take
//!   a registry crate.
//! * It reads the blobs that one layout holds. Blobs of `data` members and `urls` are not followed.
//! * It writes what it makes in memory: images of programs and small files, not of file systems.
//! * It checks no signatures.
//!
//! # Stability
//!
//! Linux; Rust 1.95 or newer, raised in minor releases only. Digests of written images change in minor releases only. Enums
//! and structs that can grow are non-exhaustive. No third-party type is in a public signature except serde's traits.
//!
//! [OCI image layouts]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md

mod descriptor;
mod media_type;
mod platform;
mod read;
mod write;

pub use crate::descriptor::Descriptor;
pub use crate::platform::{Platform, PlatformError};
pub use crate::read::{
    BlobReader, Document, EntryKind, HistoryEntry, Image, ImageConfig, Layer, LayerEntry, LayerReader,
    LayoutReader, Limits, Manifest, Place, PlatformManifest, ProcessConfig, ReadError,
};
pub use crate::write::{
    Artifact, Compression, Entry, ImageBuilder, Layout, PlatformImage, WriteError, write_file,
};
pub use zastava_core::clock::Timestamp;
pub use zastava_core::image::{Digest, ImageError};

/// The README's example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
