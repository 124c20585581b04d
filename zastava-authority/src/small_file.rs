//! Reads keys, secrets and certificates from files that others write.

use std::fs::File;
use std::io::{self, Read as _};
#[cfg(feature = "client")]
use std::mem;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

/// Keys and secrets have a few hundred bytes.
pub(crate) const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Some editors begin UTF-8 text with it. It is no part of a secret.
#[cfg(feature = "client")]
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a small regular file, without a byte order mark. Never waits for a pipe, and bounds the
/// memory it takes.
///
/// # Errors
/// [`Error::File`].
#[cfg(feature = "client")]
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut bytes = read_bytes(path, SECRET_BYTES_MAX)?;
    if str::from_utf8(&bytes).is_err() {
        return Err(Error::file(path, io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(Zeroizing::new(String::from_utf8(mem::take(&mut *bytes)).unwrap_or_default()))
}

/// Like [`read`], for any encoding and at most `bytes_max` bytes.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let read = || {
        // Opening a pipe would wait for its other end.
        let metadata = path.metadata()?;
        if !metadata.is_file() || metadata.len() > bytes_max {
            let reason = format!("it is not a regular file of at most {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        // Large enough for all: a buffer that grows leaves copies behind.
        let capacity = usize::try_from(metadata.len()).unwrap_or_default() + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        File::open(path)?.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| Error::file(path, error))
}
