//! Images from bytes: described, made in memory, written as a directory or an archive.

mod archive;
mod artifact;
mod blobs;
mod error;
mod files;
mod image_builder;
mod layer;
mod layout;

pub use self::artifact::Artifact;
pub use self::error::WriteError;
pub use self::files::write_file;
pub use self::image_builder::ImageBuilder;
pub use self::layer::{Compression, Entry};
pub use self::layout::{Layout, PlatformImage};
