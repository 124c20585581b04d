//! A cheap hash for files without a build-id: head, tail and length.
//!
//! OpenTelemetry's `process.executable.build_id.htlhash`: the first 16 bytes of SHA-256 over the first 4096
//! bytes of the file, its last 4096 bytes (either is the whole file if it is shorter) and its length as a
//! big-endian 64-bit number.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Place};
use crate::facts::Identity;
use crate::reader::{Reader, WINDOW_BYTES};
use crate::scan::Scanner;
use crate::search::Search;
use crate::source::Source;

/// OpenTelemetry's hash of head, tail and length. Tells files apart that nobody made alike on purpose; most
/// of the content is not in it, so it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HtlHash([u8; 16]);

impl HtlHash {
    /// The sixteen bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Lower-case hex.
impl fmt::Display for HtlHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for HtlHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HtlHash({self})")
    }
}

impl Scanner {
    /// [`scan`](Self::scan), and the hash of the same file, which has `len` bytes. The head is read once for
    /// both; the hash adds one read. Each may fail alone: a damaged file still has a hash.
    ///
    /// # Errors
    ///
    /// First those of `scan`. Second: [`Truncated`](crate::ErrorKind::Truncated) when the source has less than
    /// `len` bytes, [`Limit`](crate::ErrorKind::Limit), [`Io`](crate::ErrorKind::Io).
    #[expect(clippy::type_complexity, reason = "two answers, each with its error")]
    pub fn scan_and_hash<S: Source + ?Sized>(
        &self,
        source: &S,
        len: u64,
    ) -> (Result<Identity, Error<S::Error>>, Result<HtlHash, Error<S::Error>>) {
        let mut search = Search::new(source, self);
        let hash = hash(&mut search.reader, len);
        (search.file(), hash)
    }
}

fn hash<S: Source + ?Sized>(reader: &mut Reader<'_, S>, len: u64) -> Result<HtlHash, Error<S::Error>> {
    // At most a window, so it fits.
    let part = len.min(WINDOW_BYTES as u64) as usize;
    let head = reader.head(part)?;
    let head = head.get(..part).ok_or(Error::Truncated { place: Place::Header })?;
    let mut hasher = Sha256::new_with_prefix(head);
    if part as u64 == len {
        hasher.update(head);
    } else {
        let mut tail = [0; WINDOW_BYTES];
        reader.read_through(len - part as u64, &mut tail, Place::Tail)?;
        hasher.update(tail);
    }
    hasher.update(len.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(HtlHash(bytes))
}
