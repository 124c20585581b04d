//! The storage below the queue: a few named files.
//!
//! docs/design/buffer.md#why-is-there-one-seam-below-the-queue

mod disk;

pub use disk::Disk;
pub(crate) use disk::is_below_floor;

use std::fmt;
use std::io;

/// Where a buffer keeps its bytes: a flat set of named files, like a directory.
///
/// One thread makes all calls, one at a time. A call may block as long as it needs. Frames, checksums, recovery, eviction
/// and accounting belong to the buffer and are the same for every store. So a store may lose or damage bytes that it was
/// not asked to [`sync`](Self::sync): the buffer detects and counts that. A call that fails may have done all or part of
/// its work, but nothing else.
///
/// The feature `testkit` has `testkit::conformance`, which checks a store against this contract.
pub trait Store: Send + fmt::Debug {
    /// Lists all files, in any order.
    ///
    /// # Errors
    /// The error of the storage.
    fn list(&mut self) -> io::Result<Vec<StoredFile>>;

    /// Creates an empty file and reserves this many bytes for it if the storage can. A name has at most 64 bytes: ASCII
    /// letters, digits, `-` and `.`.
    ///
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) if there is no room, [`AlreadyExists`](io::ErrorKind::AlreadyExists) if
    /// the name is taken.
    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()>;

    /// Writes at an offset that is not beyond the end of the file, over the bytes that are there.
    ///
    /// # Errors
    /// The error of the storage. Part of the bytes may have been written.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads from the offset until the buffer is full or the file ends. Returns the number of bytes read.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file.
    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Cuts the file to this length and releases its reservation.
    ///
    /// # Errors
    /// The error of the storage. The length may have changed.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Makes the bytes of the file survive a power cut. The name of a new file needs [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// The error of the storage. All bytes since the last successful call are in doubt. The buffer does not sync this file
    /// again.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes the names of all files survive a power cut.
    ///
    /// # Errors
    /// The error of the storage. Names created since the last successful call are in doubt.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Removes the file, or moves it for good to where an operator finds it.
    ///
    /// # Errors
    /// The error of the storage. The file may be gone.
    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()>;
}

/// How a file is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// Delete the file. All its records are settled.
    Delete,
    /// Keep the file where the buffer no longer looks. It was written by a newer version, and counts towards the cap.
    SetAside,
}

/// A file of a [`Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "every store builds it")]
pub struct StoredFile {
    /// The name that [`create`](Store::create) was given.
    pub name: String,
    /// The length of the file in bytes.
    pub len: u64,
    /// True if the file was [set aside](Removal::SetAside).
    pub aside: bool,
}
