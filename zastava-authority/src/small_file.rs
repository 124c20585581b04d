//! Keys and secrets from files that somebody else writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

/// They have a few hundred bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// The text of a regular file, which is not waited for and does not fill the memory.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = || {
        // Opening a pipe would wait for its other end.
        let metadata = path.metadata()?;
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a small regular file"));
        }
        // With room for all of it: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize));
        File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    text().map_err(|error| Error::file(path, error))
}
