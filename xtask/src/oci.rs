//! Container images from bytes: OCI image layouts without a container engine.
//!
//! What is written follows the [OCI image specification] 1.1: an image layout, as a directory or a tar
//! archive, of one image for one or several platforms. The same content always gives the same bytes: JSON is
//! canonical (RFC 8785), entries are sorted, files have the time 0 and owners by number only, and nothing of
//! the machine gets in. containerd (`ctr images import`), skopeo, crane and oras read it.
//!
//! [OCI image specification]: https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md
//!
//! ```
//! use xtask::oci::{Entry, Image};
//!
//! let layout = Image::new("registry.internal/demo/hello:1")
//!     .layer([Entry::file("/etc/motd", 0o644, "welcome\n"), Entry::symlink("/bin/sh", "busybox")])
//!     .program("/bin/busybox", b"\x7fELF".to_vec())
//!     .command(["sleep", "300"])
//!     .user(65532, 65532)
//!     .layout()?;
//! assert_eq!(layout.pinned(), format!("registry.internal/demo/hello@{}", layout.digest()));
//! // layout.write_archive("hello.tar")?;
//! # Ok::<(), xtask::Error>(())
//! ```

mod archive;
mod image;
mod json;
mod layer;
mod layout;
mod platform;

pub use self::image::Image;
pub use self::layer::{Compression, Entry};
pub use self::layout::{Layout, PlatformImage};
pub use self::platform::{Platform, PlatformError};
