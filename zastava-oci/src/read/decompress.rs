//! A layer's tar, whatever it is compressed with: bounded, and hashed while it is read.

use std::fmt;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use zastava_core::image::Digest;

use super::BlobReader;
use super::tar::Source;
use crate::media_type::Packing;

/// The uncompressed content of a blob.
pub(super) struct Decompressed {
    decoder: Decoder,
    hash: Sha256,
    left: u64,
}

/// More came out of a layer than its limit allows.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes")]
pub(super) struct TooLarge;

enum Decoder {
    Plain(BufReader<BlobReader>),
    Gzip(MultiGzDecoder<BufReader<BlobReader>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<super::zstd::ZstdReader<BufReader<BlobReader>>>),
}

impl Decompressed {
    /// `None` if this build has no decoder.
    pub(super) fn new(blob: BlobReader, packing: Packing, bytes_max: u64) -> Option<Self> {
        let blob = BufReader::new(blob);
        let decoder = match packing {
            Packing::Tar => Decoder::Plain(blob),
            Packing::Gzip => Decoder::Gzip(MultiGzDecoder::new(blob)),
            #[cfg(feature = "zstd")]
            Packing::Zstd => Decoder::Zstd(Box::new(super::zstd::ZstdReader::new(blob))),
            #[cfg(not(feature = "zstd"))]
            Packing::Zstd => return None,
        };
        Some(Self { decoder, hash: Sha256::new(), left: bytes_max })
    }

    /// The digest of all that was read.
    pub(super) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// Reads what is left, so that blob and content are checked to the last byte.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        // A decoder can end before its input does.
        let blob = match &mut self.decoder {
            Decoder::Plain(blob) => blob,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            #[cfg(feature = "zstd")]
            Decoder::Zstd(decoder) => decoder.get_mut(),
        };
        io::copy(blob, &mut io::sink()).map(drop)
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::Plain(blob) => blob.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            #[cfg(feature = "zstd")]
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooLarge))?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl Source for Decompressed {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.by_ref().take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl fmt::Debug for Decompressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressed").field("left", &self.left).finish_non_exhaustive()
    }
}
