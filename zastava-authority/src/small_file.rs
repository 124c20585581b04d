//! Keys, secrets and certificates from files that somebody else writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::mem;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

/// They have a few hundred bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The text of a regular file, which is not waited for and does not fill the memory.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut bytes = read_bytes(path, SECRET_BYTES_MAX)?;
    if str::from_utf8(&bytes).is_err() {
        return Err(Error::file(path, io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")));
    }
    Ok(Zeroizing::new(String::from_utf8(mem::take(&mut *bytes)).unwrap_or_default()))
}

/// As [`read`], for what may have any encoding and so many bytes.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let read = || {
        // Opening a pipe would wait for its other end.
        let metadata = path.metadata()?;
        if !metadata.is_file() || metadata.len() > bytes_max {
            let reason = format!("not a regular file of at most {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        // With room for all of it: a buffer that grows leaves copies behind.
        let capacity = usize::try_from(metadata.len()).unwrap_or_default() + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        File::open(path)?.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| Error::file(path, error))
}
