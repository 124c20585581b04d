//! The files of a layout, in a directory or in an archive.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::section::Section;
use super::{Limits, ReadError};

/// Where the files of a layout are.
#[derive(Debug)]
pub(super) enum Store {
    Directory(PathBuf),
    Archive(Archive),
}

impl Store {
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let metadata = fs::metadata(path).map_err(ReadError::file("open", path))?;
        match metadata.file_type() {
            kind if kind.is_dir() => Ok(Self::Directory(path.to_owned())),
            kind if kind.is_file() => Archive::open(path, limits).map(Self::Archive),
            _ => {
                Err(ReadError::NotALayout { path: path.to_owned(), fault: "neither a directory nor a file" })
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Archive(archive) => archive.path(),
        }
    }

    /// A file by its name in the layout; `None` if there is none.
    pub(super) fn file(&self, name: &str) -> Result<Option<Section>, ReadError> {
        match self {
            Self::Directory(root) => regular_file(&root.join(name)),
            Self::Archive(archive) => Ok(archive.file(name)),
        }
    }
}

/// Links are followed: they can lead to no other content than what the digest names. FIFOs and devices are
/// not opened, since that can block.
fn regular_file(path: &Path) -> Result<Option<Section>, ReadError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let file = File::open(path).map_err(ReadError::file("open", path))?;
            Ok(Some(Section::new(Arc::new(file), path.into(), 0, metadata.len())))
        }
        Ok(_) => Err(ReadError::NotALayout { path: path.to_owned(), fault: "not a regular file" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReadError::file("open", path)(error)),
    }
}
