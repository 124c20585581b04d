//! The entries of a layer, as a stream.

use std::io::{self, Read};

use super::decompress::{Decompressed, TooLarge};
use super::entry::LayerEntry;
use super::image::Layer;
use super::place::{Document, Place, escaped};
use super::tar::{Fault, TarReader};
use super::{BlobReader, Limits, ReadError};
use crate::media_type::packing;
use crate::{Descriptor, Digest};

/// Iterates over the entries of a layer; between two entries, it [reads](Read) the content of the last one.
///
/// **What it yields is certain at its end only.** The digests of blob and content are known when the last byte was
/// read: a wrong one is the last item, an error. To know it before, call
/// [`LayoutReader::verify`](super::LayoutReader::verify) first.
///
/// Entries come in the order of the archive. If a path occurs twice, the later entry wins, as when an
/// engine unpacks the layer.
#[derive(Debug)]
pub struct LayerReader {
    tar: TarReader<Decompressed>,
    layer: Digest,
    diff_id: Digest,
    limits: Limits,
    entries: u64,
    is_done: bool,
}

impl LayerReader {
    pub(super) fn open(blob: BlobReader, layer: &Layer, limits: &Limits) -> Result<Self, ReadError> {
        let Descriptor { digest, media_type, .. } = &layer.descriptor;
        let content =
            packing(media_type).and_then(|packing| Decompressed::new(blob, packing, limits.layer_bytes));
        let readable =
            if cfg!(feature = "zstd") { "a tar, gzip or zstd layer" } else { "a tar or gzip layer" };
        let content =
            content.ok_or_else(|| ReadError::media_type(Place::new(*digest, ""), media_type, readable))?;
        Ok(Self {
            tar: TarReader::new(content, limits.extended_header_bytes),
            layer: *digest,
            diff_id: layer.diff_id,
            limits: limits.clone(),
            entries: 0,
            is_done: false,
        })
    }

    fn next_entry(&mut self) -> Result<Option<LayerEntry>, ReadError> {
        let place = Place::byte(Document::Blob(self.layer), self.tar.next_header());
        let next = self.tar.next();
        let Some(member) = next.map_err(|fault| self.fault(fault, &place))? else {
            return self.finish().map(|()| None);
        };
        self.entries += 1;
        if self.entries > self.limits.layer_entries {
            return Err(ReadError::limit(place, "layer_entries", self.limits.layer_entries));
        }
        LayerEntry::new(member, &place, self.limits.path_bytes).map(Some)
    }

    fn finish(&mut self) -> Result<(), ReadError> {
        self.tar.source().finish().map_err(|error| self.io_fault(error))?;
        let actual = self.tar.source().digest();
        if actual == self.diff_id {
            return Ok(());
        }
        Err(ReadError::DiffId { layer: self.layer, expected: self.diff_id, actual })
    }

    fn fault(&self, fault: Fault, place: &Place) -> ReadError {
        fault.at(place, &self.limits, |error| self.io_fault(error))
    }

    /// What is no error of the blob's is one of the decompressor's.
    fn io_fault(&self, error: io::Error) -> ReadError {
        let error = match error.downcast::<ReadError>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        match error.downcast::<TooLarge>() {
            Ok(TooLarge) => {
                ReadError::limit(Place::new(self.layer, ""), "layer_bytes", self.limits.layer_bytes)
            }
            Err(error) => ReadError::Compression { layer: self.layer, message: escaped(&error.to_string()) },
        }
    }
}

impl Iterator for LayerReader {
    type Item = Result<LayerEntry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_entry().transpose();
        // Behind an error nothing is where it should be.
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.read(buffer).map_err(|error| match Fault::from(error) {
            Fault::Read(error) => self.io_fault(error).into(),
            fault => {
                self.fault(fault, &Place::byte(Document::Blob(self.layer), self.tar.next_header())).into()
            }
        })
    }
}
