//! A directory, by the system calls that the trait names. Nothing here decides.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};

use super::{Removal, Store, StoredFile};
use crate::error::Error;

const LOCK: &str = "lock";
const ASIDE: &str = "aside";
/// Records may be confidential: nobody else reads them.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Enough for the file written, the file read and the cursor of a few classes.
const OPEN_FILES_MAX: usize = 8;
/// Neither what a link leads to, nor a pipe that waits for its other end.
const OPEN_FLAGS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    free_percent_min: u8,
    /// The latest last.
    open: Vec<(String, File)>,
    lock: File,
}

/// Explicitly, since a process that somebody forks at this moment holds a copy of the descriptor until it executes.
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Disk {
    /// Creates the directory if needed and locks it, or fails at once. New segments are refused where the
    /// file system would be left with less than `free_percent_min` per cent free.
    ///
    /// # Errors
    /// [`Error::Locked`] with what the holder says of itself, or [`Error::Storage`].
    pub fn open(directory: impl AsRef<Path>, free_percent_min: u8) -> Result<Self, Error> {
        let directory = directory.as_ref().to_owned();
        create_durably(&directory).map_err(|source| Error::storage("create", &directory, source))?;
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(FILE_MODE);
        options.custom_flags(OPEN_FLAGS);
        let mut lock = options.open(&path).map_err(|source| Error::storage("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // For people only; who holds the lock is the kernel's business.
                let _ = lock.by_ref().take(64).read_to_string(&mut holder);
                return Err(Error::Locked { path, holder: holder.trim().escape_debug().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(Error::storage("lock", &path, source)),
        }
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.write_all_at(format!("process {}\n", std::process::id()).as_bytes(), 0));
        Ok(Self { directory, free_percent_min, open: Vec::new(), lock })
    }

    /// A call on an open file. One that failed is opened anew next time: it may be another by then.
    fn with<R>(&mut self, name: &str, call: impl FnOnce(&File) -> io::Result<R>) -> io::Result<R> {
        let path = self.directory.join(name);
        let file = match self.open.iter().position(|(open, _)| open == name) {
            Some(at) => Ok(self.open.remove(at).1),
            None => open_regular(&path),
        };
        named(&path, || {
            let file = file?;
            let done = call(&file)?;
            self.keep(name, file);
            Ok(done)
        })
    }

    fn keep(&mut self, name: &str, file: File) {
        if self.open.len() == OPEN_FILES_MAX {
            self.open.remove(0);
        }
        self.open.push((name.to_owned(), file));
    }

    /// Whether the directory is still where its name leads.
    fn check_lock(&self) -> io::Result<()> {
        let path = self.directory.join(LOCK);
        named(&path, || is_there(&path, &self.lock))
    }

    /// What reserves nothing is small, and is never refused: a directory can be opened at any time.
    fn check_free(&self, reserve_bytes: u64) -> io::Result<()> {
        if self.free_percent_min == 0 || reserve_bytes == 0 {
            return Ok(());
        }
        let volume = statvfs(&self.directory)?;
        let left = (volume.f_bavail * volume.f_frsize).saturating_sub(reserve_bytes);
        let floor = volume.f_blocks * volume.f_frsize / 100 * u64::from(self.free_percent_min);
        if left >= floor { Ok(()) } else { Err(io::Error::new(io::ErrorKind::StorageFull, BelowFloor)) }
    }
}

/// Dropping a segment to write another would not help.
#[derive(Debug, thiserror::Error)]
#[error("less of the file system is free than is to stay free")]
struct BelowFloor;

pub(crate) fn is_below_floor(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<BelowFloor>())
}

impl Store for Disk {
    fn list(&mut self) -> io::Result<Vec<StoredFile>> {
        let (mut found, aside) = (Vec::new(), self.directory.join(ASIDE));
        named(&self.directory, || list(&self.directory, false, &mut found))?;
        match named(&aside, || list(&aside, true, &mut found)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(found),
        }
    }

    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()> {
        self.check_free(reserve_bytes)?;
        self.check_lock()?;
        let path = self.directory.join(name);
        let file = named(&path, || {
            let file =
                OpenOptions::new().create_new(true).read(true).write(true).mode(FILE_MODE).open(&path)?;
            let reserved = reserve(&file, reserve_bytes);
            if reserved.is_err() {
                let _ = fs::remove_file(&path);
            }
            reserved.map(|()| file)
        })?;
        self.keep(name, file);
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| file.write_all_at(bytes, offset))
    }

    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(name, |file| {
            let mut read = 0;
            while read < buffer.len() {
                match file.read_at(&mut buffer[read..], offset + read as u64) {
                    Ok(0) => break,
                    Ok(bytes) => read += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(read)
        })
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.with(name, |file| file.set_len(len))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let path = self.directory.join(name);
        self.with(name, |file| file.sync_data().and_then(|()| is_there(&path, file)))?;
        self.check_lock()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        named(&self.directory, || File::open(&self.directory)?.sync_all())
    }

    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()> {
        self.open.retain(|(open, _)| open != name);
        let path = self.directory.join(name);
        named(&path, || match removal {
            Removal::SetAside => set_aside(&path, name, &self.directory.join(ASIDE)),
            Removal::Delete => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        })
    }
}

/// An operator has to know which file an error is about.
fn named<R>(path: &Path, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    call().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn set_aside(path: &Path, name: &str, aside: &Path) -> io::Result<()> {
    create_durably(aside)?;
    // A cursor set aside twice must not replace the first one.
    let free = (0..).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
    let target = free.map(|name| aside.join(name)).find(|path| !path.exists());
    fs::rename(path, target.unwrap_or_else(|| aside.join(name)))?;
    File::open(aside)?.sync_all()
}

fn open_regular(path: &Path) -> io::Result<File> {
    let open = |write| OpenOptions::new().read(true).write(write).custom_flags(OPEN_FLAGS).open(path);
    // What cannot be written can still be read: a file system may have turned read-only.
    let file = open(true).or_else(|_| open(false))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// One that somebody removed or replaced takes writes and syncs all the same, and nobody finds them.
fn is_there(path: &Path, file: &File) -> io::Result<()> {
    let (held, found) = (file.metadata()?, fs::symlink_metadata(path)?);
    let is_same = (held.dev(), held.ino()) == (found.dev(), found.ino());
    if is_same { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn list(directory: &Path, aside: bool, found: &mut Vec<StoredFile>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() && name != LOCK => {
                found.push(StoredFile { name, len: metadata.len(), aside });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    // fallocate(2) takes no length of nothing.
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // Some file systems cannot. Then room runs out in the middle of a write, which is survived too.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A new directory survives a power cut only when its parent is synced, and so on upwards.
fn create_durably(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}
