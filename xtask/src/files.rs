//! Files on disk, with the path in every error.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::Error;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::file("read", path))
}

pub(crate) fn create_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("create", path))
}

/// Waits until no other process holds the lock of the file at `path`, and holds it until the result is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    create_directory(path.parent().unwrap_or(path))?;
    let file = File::create(path).map_err(Error::file("create", path))?;
    file.lock().map_err(Error::file("lock", path))?;
    Ok(file)
}

/// Removes a directory. Succeeds if there is none.
pub(crate) fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}
