//! Files on disk, with the path in every error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::WriteError;

pub(super) fn create_directory(path: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Writes a whole file or nothing, as the files of layouts and archives are written, so that nobody reads the first half of one. For
/// what lies beside them, such as a list of the images.
///
/// # Errors
/// [`WriteError::File`] when the file cannot be written or renamed.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    fs::write(&partial, bytes).map_err(failed("write", &partial))?;
    fs::rename(&partial, path).map_err(failed("rename", &partial))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    move |source| WriteError::File { operation, path: path.to_owned(), source }
}
