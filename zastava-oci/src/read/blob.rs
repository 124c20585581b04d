//! The content of a blob, checked while it is read.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use zastava_core::image::Digest;

use super::ReadError;
use super::section::Section;
use crate::Descriptor;

/// Reads a blob and checks its digest. The last bytes are handed out only if the digest is right; an error of
/// [`io::Read`] holds a [`ReadError`], which `io::Error::downcast` returns.
#[derive(Debug)]
pub struct BlobReader {
    section: Section,
    hash: Sha256,
    expected: Digest,
    size: u64,
}

impl BlobReader {
    /// Fails if the size is wrong, or if the blob is empty and should not be.
    pub(super) fn new(section: Section, descriptor: &Descriptor) -> Result<Self, ReadError> {
        let Descriptor { digest: expected, size, .. } = *descriptor;
        if section.remaining() != size {
            return Err(ReadError::Size { digest: expected, expected: size, actual: section.remaining() });
        }
        let reader = Self { section, hash: Sha256::new(), expected, size };
        if size == 0 { reader.check().map(|()| reader) } else { Ok(reader) }
    }

    /// The digest of the content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.expected
    }

    /// The length of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn check(&self) -> Result<(), ReadError> {
        let actual = Digest::from_bytes(self.hash.clone().finalize().into());
        if actual == self.expected {
            Ok(())
        } else {
            Err(ReadError::Digest { expected: self.expected, actual })
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.section.read(buffer)?;
        self.hash.update(&buffer[..read]);
        if read > 0 && self.section.remaining() == 0 {
            self.check()?;
        }
        Ok(read)
    }
}
