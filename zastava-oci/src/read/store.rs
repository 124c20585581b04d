//! The files of a layout, in a directory or in an archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
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

/// A part of an open file. Several can be read at once, since none moves the file's own position.
#[derive(Clone, Debug)]
pub(super) struct Section {
    file: Arc<File>,
    path: Arc<Path>,
    position: u64,
    end: u64,
}

impl Section {
    pub(super) fn new(file: Arc<File>, path: Arc<Path>, position: u64, end: u64) -> Self {
        Self { file, path, position, end }
    }

    /// A part of this one: `length` bytes from `offset` of the file.
    pub(super) fn part(&self, offset: u64, length: u64) -> Self {
        Self { position: offset, end: offset + length, ..self.clone() }
    }

    pub(super) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.remaining() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += bytes;
        Ok(())
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.position);
        match read.map_err(ReadError::file("read", &self.path))? {
            0 => Err(ReadError::file("read", &self.path)(io::ErrorKind::UnexpectedEof.into()).into()),
            read => {
                self.position += read as u64;
                Ok(read)
            }
        }
    }
}
