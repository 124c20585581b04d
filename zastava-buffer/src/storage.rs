//! Every call into the file system, and nothing that decides. A simulated file system can take the
//! place of this file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::{CURSOR_BYTES, SegmentName};
use crate::options::blocks;

const LOCK: &str = "lock";
const CURSOR: &str = "cursor";
const ASIDE: &str = "aside";

/// Records may be confidential: nobody else reads them.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The directory of one buffer, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Storage {
    directory: PathBuf,
    _lock: File,
}

/// Files in `aside/` and the room they take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetAside {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Storage {
    /// Creates the directory if needed and locks it, or fails at once.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        create_durably(directory)?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|source| Error::storage("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(source)) => Err(Error::storage("lock", &path, source)),
        }
    }

    /// The segments in the order in which they were written. Other files are left alone.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentName>, Error> {
        let failed = |source| Error::storage("list", &self.directory, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(SegmentName::parse));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn create_segment(&self, name: SegmentName) -> Result<DataFile, Error> {
        let path = self.directory.join(name.to_string());
        let file = OpenOptions::new().create_new(true).read(true).write(true).mode(FILE_MODE).open(&path);
        file.map(|file| DataFile { file, path: path.clone() })
            .map_err(|source| Error::storage("create", &path, source))
    }

    /// `None` when somebody removed the file.
    pub(crate) fn open_segment(&self, name: SegmentName) -> Result<Option<DataFile>, Error> {
        let path = self.directory.join(name.to_string());
        match File::open(&path) {
            Ok(file) => Ok(Some(DataFile { file, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::storage("open", &path, source)),
        }
    }

    pub(crate) fn remove_segment(&self, name: SegmentName) -> Result<(), Error> {
        let path = self.directory.join(name.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::storage("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// The cursor file, filled up to its full length so that later writes need no new space.
    pub(crate) fn open_cursor(&self) -> Result<DataFile, Error> {
        let path = self.directory.join(CURSOR);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(FILE_MODE);
        let file = options.open(&path).map_err(|source| Error::storage("open", &path, source))?;
        let cursor = DataFile { file, path };
        let len = cursor.len()?;
        if len < CURSOR_BYTES as u64 {
            cursor.write_at(&vec![0; CURSOR_BYTES - len as usize], len)?;
        } else if len > CURSOR_BYTES as u64 {
            cursor.truncate(CURSOR_BYTES as u64)?;
        }
        Ok(cursor)
    }

    pub(crate) fn set_segment_aside(&self, name: SegmentName) -> Result<(), Error> {
        self.set_aside(&name.to_string(), &name.to_string())
    }

    /// Moves the cursor away under a name of its own, since the next one is called the same.
    pub(crate) fn set_cursor_aside(&self) -> Result<(), Error> {
        self.set_aside(CURSOR, &format!("{CURSOR}-{:08x}", self.random_u32()))
    }

    fn set_aside(&self, name: &str, new_name: &str) -> Result<(), Error> {
        let aside = self.directory.join(ASIDE);
        create_durably(&aside)?;
        let path = self.directory.join(name);
        fs::rename(&path, aside.join(new_name))
            .map_err(|source| Error::storage("set aside", &path, source))?;
        sync_directory(&aside)
    }

    pub(crate) fn aside(&self) -> Result<SetAside, Error> {
        let path = self.directory.join(ASIDE);
        let failed = |source| Error::storage("list", &path, source);
        let mut found = SetAside::default();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            found.files += 1;
            found.bytes += blocks(entry.and_then(|entry| entry.metadata()).map_err(failed)?.len());
        }
        Ok(found)
    }

    pub(crate) fn sync_directory(&self) -> Result<(), Error> {
        sync_directory(&self.directory)
    }

    /// Numbers that differ between processes and calls. The standard library seeds its hash maps
    /// from the system; salts and identities need no more than that.
    pub(crate) fn random_u64(&self) -> u64 {
        RandomState::new().hash_one(0)
    }

    pub(crate) fn random_u32(&self) -> u32 {
        self.random_u64() as u32
    }
}

/// An open file that knows its path, for the sake of errors.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: File,
    path: PathBuf,
}

impl DataFile {
    pub(crate) fn len(&self) -> Result<u64, Error> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|source| self.failed("inspect", source))
    }

    /// Fills the buffer, or as much of it as the file has; the length read.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed("read", source)),
            }
        }
        Ok(read)
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|source| self.failed("write", source))
    }

    pub(crate) fn truncate(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len).map_err(|source| self.failed("truncate", source))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|source| self.failed("sync", source))
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        Error::storage(operation, &self.path, source)
    }
}

/// A new directory survives a power cut only when its parent is synced, and so on upwards.
fn create_durably(directory: &Path) -> Result<(), Error> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::storage("create", directory, source));
        }
        _ => {}
    }
    sync_directory(parent)
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::storage("sync", path, source))
}
