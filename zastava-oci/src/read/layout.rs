//! Opens a layout and reads its blobs.

use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use zastava_core::image::Digest;

use super::documents::{Index, Manifest};
use super::json::parse;
use super::place::{Document, Place, shortened};
use super::section::Section;
use super::store::Store;
use super::{BlobReader, Limits, ReadError};
use crate::descriptor::{Descriptor, blob_path};
use crate::media_type;

/// A layout that is read: a directory, or a tar archive of one.
///
/// Nothing is believed: each document is shortened by [`Limits`], and each blob must have the size and the digest of the
/// descriptor that names it. An archive is read in place.
#[derive(Debug)]
pub struct LayoutReader {
    store: Store,
    limits: Limits,
    entries: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMarker {
    image_layout_version: String,
}

impl LayoutReader {
    /// Opens a layout directory or archive, with the default limits.
    ///
    /// # Errors
    /// [`ReadError::NotALayout`] and [`ReadError::Version`] if the path holds something else;
    /// [`ReadError::Tar`], [`ReadError::Path`] and [`ReadError::Duplicate`] for a damaged archive;
    /// [`ReadError::Json`] and [`ReadError::Confused`] for a damaged `index.json`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        Self::open_with(path, Limits::default())
    }

    /// Opens a layout with limits of your own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, ReadError> {
        let store = Store::open(path.as_ref(), &limits)?;
        let mut layout = Self { store, limits, entries: Vec::new() };
        let marker: RawMarker = parse(
            &Document::Marker,
            &layout.named_document(Document::Marker, "oci-layout", "it has no file oci-layout")?,
        )?;
        // Minor versions add; 1.0.0 is the only one so far.
        if !marker.image_layout_version.starts_with("1.") {
            return Err(ReadError::Version { version: shortened(&marker.image_layout_version) });
        }
        let index = layout.named_document(Document::Index, "index.json", "it has no file index.json")?;
        layout.entries = Index::read(Document::Index, &index, None)?.manifests;
        Ok(layout)
    }

    /// The entries of `index.json`: images, indexes, and artifacts such as signatures.
    #[must_use]
    pub fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// The entry with this name: the tag, or the complete reference where a writer gave one.
    ///
    /// # Errors
    /// [`ReadError::Name`] if there is none, [`ReadError::Duplicate`] if several name different content.
    pub fn named(&self, name: &str) -> Result<&Descriptor, ReadError> {
        let mut found = self.entries.iter().filter(|entry| entry.names().any(|has| has == name));
        let first = found.next().ok_or_else(|| self.no_such_name(name))?;
        if found.any(|other| other.digest != first.digest) {
            return Err(ReadError::Duplicate {
                place: Place::new(Document::Index, "manifests"),
                name: shortened(name),
            });
        }
        Ok(first)
    }

    /// The only entry, or the only entry with a name if artifacts are listed beside it.
    ///
    /// # Errors
    /// [`ReadError::Name`] if there is no such entry.
    pub fn only(&self) -> Result<&Descriptor, ReadError> {
        let named: Vec<_> = self.entries.iter().filter(|entry| entry.name().is_some()).collect();
        match (&self.entries[..], &named[..]) {
            ([only], _) => Ok(only),
            (_, [only]) => Ok(*only),
            _ => Err(self.no_such_name("")),
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ReadError::MediaType`] if it is something else; [`ReadError::Missing`], [`ReadError::Size`],
    /// [`ReadError::Digest`], [`ReadError::Json`] and [`ReadError::Confused`] if it is damaged.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, ReadError> {
        if !media_type::is_manifest(&descriptor.media_type) {
            let place = Place::new(descriptor.digest, "");
            return Err(ReadError::media_type(place, &descriptor.media_type, "a manifest"));
        }
        Manifest::read(descriptor, &self.document(descriptor)?)
    }

    /// Opens a blob. Its content is checked while it is read.
    ///
    /// # Errors
    /// [`ReadError::Missing`], [`ReadError::Size`], [`ReadError::File`].
    pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader, ReadError> {
        let digest = descriptor.digest;
        let section = self.store.file(&blob_path(digest))?.ok_or(ReadError::Missing { digest })?;
        BlobReader::new(section, descriptor)
    }

    /// Reads a blob to its end, to check it before it is used.
    ///
    /// # Errors
    /// As [`blob`](Self::blob), and [`ReadError::Digest`].
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), ReadError> {
        let mut blob = self.blob(descriptor)?;
        match std::io::copy(&mut blob, &mut std::io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.read_error(error)),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn index(&self, descriptor: &Descriptor) -> Result<Index, ReadError> {
        let bytes = self.document(descriptor)?;
        Index::read(Document::Blob(descriptor.digest), &bytes, Some(&descriptor.media_type))
    }

    /// A blob that is held in memory.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ReadError> {
        self.check_document(descriptor.digest.into(), descriptor.size)?;
        let mut bytes = Vec::new();
        self.blob(descriptor)?.read_to_end(&mut bytes).map_err(|error| self.read_error(error))?;
        Ok(bytes)
    }

    fn named_document(
        &self,
        document: Document,
        name: &str,
        missing: &'static str,
    ) -> Result<Vec<u8>, ReadError> {
        let not_a_layout = || ReadError::NotALayout { path: self.store.path().to_owned(), fault: missing };
        let mut section: Section = self.store.file(name)?.ok_or_else(not_a_layout)?;
        self.check_document(document, section.remaining())?;
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).map_err(|error| self.read_error(error))?;
        Ok(bytes)
    }

    fn check_document(&self, document: Document, size: u64) -> Result<(), ReadError> {
        let max = self.limits.document_bytes;
        if size > max {
            Err(ReadError::limit(Place::new(document, ""), "document_bytes", max))
        } else {
            Ok(())
        }
    }

    fn read_error(&self, error: std::io::Error) -> ReadError {
        error.downcast().unwrap_or_else(ReadError::file("read", self.store.path()))
    }

    fn no_such_name(&self, name: &str) -> ReadError {
        let listed = self.entries.iter().filter_map(Descriptor::name).take(16).map(shortened).collect();
        ReadError::Name { name: shortened(name), listed }
    }
}

/// Documents that one call has read, each once.
#[derive(Debug, Default)]
pub(super) struct Visited(std::collections::BTreeSet<Digest>);

impl Visited {
    /// Whether the document was not read yet. A graph of few documents can have very many paths.
    pub(super) fn is_new(&mut self, digest: Digest, limits: &Limits) -> Result<bool, ReadError> {
        if !self.0.insert(digest) {
            return Ok(false);
        }
        if self.0.len() > limits.documents {
            return Err(ReadError::limit(Place::new(digest, ""), "documents", limits.documents as u64));
        }
        Ok(true)
    }
}
