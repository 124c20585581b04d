//! The store in a directory. Each method is a thin layer over system calls.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};

use super::{Removal, Store, StoredFile};
use crate::error::Error;

const LOCK: &str = "lock";
const ASIDE: &str = "aside";
/// Records may be confidential, so only the owner may read them.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Enough for the segment written, the segment read and the cursor, of a few classes.
const OPEN_FILES_MAX: usize = 8;
/// Does not follow links, and does not block on a pipe.
const OPEN_FLAGS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// A [`Store`] in a directory, which it locks for as long as it lives.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    free_percent_min: u8,
    /// Open files, the most recently used last.
    open: Vec<(String, File)>,
    lock: File,
}

/// Unlocks explicitly: a child process that is forked at this moment holds a copy of the descriptor until it executes.
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Disk {
    /// Creates the directory if needed and locks it. Fails at once if it is locked. [`create`](Store::create) refuses a
    /// reservation that would leave less than `free_percent_min` per cent of the file system free.
    ///
    /// # Errors
    /// [`Error::Locked`] or [`Error::Storage`].
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
                // The text is for people only; the kernel decides who holds the lock.
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

    /// Calls `call` with the open file. After a failed call the file is closed, since its name may lead to another file
    /// by the next call.
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

    /// Fails if the path no longer leads to the locked directory.
    fn check_lock(&self) -> io::Result<()> {
        let path = self.directory.join(LOCK);
        named(&path, || is_there(&path, &self.lock))
    }

    /// Never refuses a file without a reservation. Those are small, and a full disk must not keep a buffer from opening.
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

/// The free space is below the floor. Evicting a segment to write another would not help.
#[derive(Debug, thiserror::Error)]
#[error("free space of the file system is below the configured minimum")]
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

/// Adds the path to the error, since an operator needs to know the file.
fn named<R>(path: &Path, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    call().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn set_aside(path: &Path, name: &str, aside: &Path) -> io::Result<()> {
    create_durably(aside)?;
    // A second cursor that is set aside must not replace the first one.
    let free = (0..).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
    let target = free.map(|name| aside.join(name)).find(|path| !path.exists());
    fs::rename(path, target.unwrap_or_else(|| aside.join(name)))?;
    File::open(aside)?.sync_all()
}

fn open_regular(path: &Path) -> io::Result<File> {
    let open = |write| OpenOptions::new().read(true).write(write).custom_flags(OPEN_FLAGS).open(path);
    // On a file system that turned read-only, files can still be read.
    let file = open(true).or_else(|_| open(false))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Fails if the path no longer leads to the open file. A removed file accepts writes and syncs, but nobody can find it.
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
    // fallocate(2) refuses a length of 0.
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // Without fallocate, space can run out in the middle of a write. The buffer survives that too.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates the directory and syncs its parent, without which a new directory does not survive a power cut.
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
