//! A cheap hash for files without a build-id: head, tail and length.
//!
//! OpenTelemetry's `process.executable.build_id.htlhash`: the first 16 bytes of SHA-256 over the first 4096
//! bytes of the file, its last 4096 bytes (either is the whole file if it is shorter) and its length as a
//! big-endian 64-bit number.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::identity::Identity;
use crate::part::Part;
use crate::read_at::ReadAt;
use crate::reader::ElfReader;
use crate::search::Search;
use crate::windows::{WINDOW_BYTES, Windows};

/// OpenTelemetry's hash of head, tail and length. It does not cover most of the content, so it tells files apart
/// only if nobody made them alike on purpose.
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

impl ElfReader {
    /// Reads the [`identity`](Self::identity) and the hash of a file of `len` bytes. The head is read once for
    /// both; the hash adds one read. Either may fail alone: a damaged file still has a hash.
    ///
    /// # Errors
    ///
    /// The first as `identity`. The second: [`Truncated`](crate::ErrorKind::Truncated) if the source has fewer
    /// than `len` bytes, [`Limit`](crate::ErrorKind::Limit), [`Io`](crate::ErrorKind::Io).
    #[expect(clippy::type_complexity, reason = "two answers, each with its error")]
    pub fn identity_and_hash<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        len: u64,
    ) -> (Result<Identity, Error<S::Error>>, Result<HtlHash, Error<S::Error>>) {
        let mut search = Search::new(source, &self.policy);
        let hash = hash(&mut search.windows, len);
        (search.identity(), hash)
    }
}

fn hash<S: ReadAt + ?Sized>(windows: &mut Windows<'_, S>, len: u64) -> Result<HtlHash, Error<S::Error>> {
    // At most the size of a window, so it fits.
    let bytes = len.min(WINDOW_BYTES as u64) as usize;
    let head = windows.head(bytes)?.get(..bytes).ok_or(Error::Truncated { part: Part::Header })?;
    let mut hasher = Sha256::new_with_prefix(head);
    if bytes as u64 == len {
        hasher.update(head);
    } else {
        let mut tail = [0; WINDOW_BYTES];
        windows.read_anew(len - bytes as u64, &mut tail, Part::Tail)?;
        hasher.update(tail);
    }
    hasher.update(len.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(HtlHash(bytes))
}
