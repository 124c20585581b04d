//! Which file, and which version of it.

use std::fmt;
use std::os::fd::AsFd;

use rustix::fs::{Stat, fstat, major, minor};

use crate::error::Error;
use crate::linux::calls::io_error;
use crate::part::Part;

/// The number of a file system. Prints as in `/proc/<pid>/maps`: `fe:00`.
///
/// On btrfs and overlayfs a mapped file's number there may differ from the one that `fstat` gives; see
/// [`RegularFile::is`](crate::RegularFile::is).
// docs/design/elf.md#why-does-a-mappings-device-not-always-decide-which-file-it-is
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a device number has these two parts")]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The device among those of the driver.
    pub minor: u32,
}

impl Device {
    /// What the kernel shows where there is no file.
    pub(super) const NONE: Self = Self { major: 0, minor: 0 };
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}", self.major, self.minor)
    }
}

/// A file in one state of its content. Equal versions have equal content, within the resolution of the file
/// system's clock: a write in the same tick as the first look goes unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct FileVersion {
    /// The file system.
    pub device: Device,
    /// The file's number in its file system.
    pub inode: u64,
    /// The length in bytes.
    pub size: u64,
    /// When the content last changed, in nanoseconds since 1970. The file's owner can set it.
    pub modified_ns: i128,
    /// When content or inode last changed, in nanoseconds since 1970. Nobody can set it, except the owner of a file
    /// system in user space (FUSE).
    pub changed_ns: i128,
}

impl FileVersion {
    /// The version of the file behind a descriptor, `O_PATH` included.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    pub fn of(fd: impl AsFd) -> Result<Self, Error> {
        Ok(Self::from_stat(&fstat(fd).map_err(io_error(Part::File))?))
    }

    pub(super) fn from_stat(stat: &Stat) -> Self {
        // The types of the fields differ between architectures.
        let ns = |seconds: i128, ns: i128| seconds * 1_000_000_000 + ns;
        Self {
            device: Device { major: major(stat.st_dev), minor: minor(stat.st_dev) },
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: ns(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            changed_ns: ns(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        }
    }
}
