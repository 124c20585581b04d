//! The seam below the queue: a few named byte sequences.

mod disk;

pub use disk::Disk;
pub(crate) use disk::is_below_floor;

use std::fmt;
use std::io;

/// Where a buffer keeps its bytes: a flat set of named files, as a directory has them.
///
/// One thread calls, one call at a time; a call may take as long as it needs. Frames, checksums, recovery,
/// eviction and accounting are the buffer's own and the same for every store, so a store may lose or damage
/// what it was not asked to [`sync`](Self::sync): the buffer finds out and counts it. It must not invent:
/// a call that fails may have done its work or part of it, and nothing else.
///
/// [`testkit::conformance`](crate::testkit::conformance) tells the author of a store whether it is right.
pub trait Store: Send + fmt::Debug {
    /// Every file, in any order.
    ///
    /// # Errors
    /// Whatever the storage says.
    fn list(&mut self) -> io::Result<Vec<StoredFile>>;

    /// Makes an empty file, with room set aside for this many bytes where that is possible. The name is
    /// new; names have at most 64 bytes, all of them ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) when there is no room, [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()>;

    /// Writes at an offset that is not beyond the end, replacing what is there.
    ///
    /// # Errors
    /// Part of the bytes may have been written.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills the buffer from the offset, or as much of it as there is; how much that was.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) when somebody removed the file.
    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Cuts the file to this length and gives back the room set aside.
    ///
    /// # Errors
    /// The length may have changed or not.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Makes what was written to the file survive a power cut; not yet its name, if that is new.
    ///
    /// # Errors
    /// Everything written since the last success is in doubt. It is not asked again for this file.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes the names of all files created so far survive a power cut.
    ///
    /// # Errors
    /// Those created since the last success are in doubt.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Removes the file, or moves it away for good to where an operator finds it.
    ///
    /// # Errors
    /// The file may be gone or not.
    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()>;
}

/// How a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// All it held is settled.
    Delete,
    /// It is not understood, so it is kept, and counts towards the cap.
    SetAside,
}

/// A file of a [`Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "every store builds it")]
pub struct StoredFile {
    /// Its name, as given to [`create`](Store::create).
    pub name: String,
    /// Its length.
    pub len: u64,
    /// True for a file that was [set aside](Removal::SetAside).
    pub aside: bool,
}
