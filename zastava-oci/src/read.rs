//! Layouts that somebody else wrote: every document bounded, every byte checked against its digest.

mod archive;
mod blob;
mod config;
mod decompress;
mod documents;
mod entry;
mod entry_path;
mod error;
mod image;
mod json;
mod layer;
mod layout;
mod limits;
mod place;
mod referrers;
mod section;
mod store;
mod tar;
#[cfg(feature = "zstd")]
mod zstd;

pub use self::blob::BlobReader;
pub use self::config::{HistoryEntry, ImageConfig, ProcessConfig};
pub use self::documents::Manifest;
pub use self::entry::{EntryKind, LayerEntry};
pub use self::error::ReadError;
pub use self::image::{Image, Layer, PlatformManifest};
pub use self::layer::LayerReader;
pub use self::layout::LayoutReader;
pub use self::limits::Limits;
pub use self::place::{Document, Place};
