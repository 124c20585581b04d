//! Image references and digests, parsed into types that hold only valid ones.
//!
//! References are read as the kubelet and containerd read them, with the `reference` package of the OCI distribution
//! project: an optional registry host, a repository of at most 255 characters, an optional tag and an optional
//! digest. Docker's short forms are completed: `nginx` becomes `docker.io/library/nginx`. An image ID is
//! refused: docs/design/core.md#why-is-an-image-id-not-a-reference.
//!
//! ```
//! use zastava_core::image::{Digest, ImageReference};
//!
//! let image: ImageReference = "nginx:1.27".parse()?;
//! assert_eq!(image.to_string(), "docker.io/library/nginx:1.27");
//! assert_eq!(image.pinned(), None);
//!
//! let digest: Digest = format!("sha256:{}", "1".repeat(64)).parse()?;
//! assert_eq!(image.at(digest).pinned(), Some(format!("docker.io/library/nginx@{digest}")));
//! # Ok::<(), zastava_core::image::ImageError>(())
//! ```

mod digest;
mod error;
mod grammar;
mod reference;

pub use digest::Digest;
pub use error::ImageError;
pub use reference::ImageReference;
