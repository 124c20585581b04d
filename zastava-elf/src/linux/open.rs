//! Opening files by path.
//!
//! Opening has side effects: it waits for the peer of a FIFO, rewinds a tape, starts a watchdog. Each path is
//! therefore resolved to an `O_PATH` descriptor first, which opens nothing. `fstat` then tells the type. Only a
//! regular file is opened, by its name in `/proc/self/fd`, which leads to the file that was checked even if the
//! path now leads to another one.

use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, open};

use crate::error::Error;
use crate::linux::calls::{READ, io_error, open_at, retry};
use crate::linux::maps::MappedFile;
use crate::linux::memory;
use crate::linux::version::FileVersion;
use crate::part::Part;

/// The types of the file systems that show another device in `maps` than in `fstat`: overlayfs, whose files may be on
/// another file system, and btrfs, which has a device for each subvolume (linux/magic.h).
const SYSTEMS_WITH_ANOTHER_DEVICE: [u32; 2] = [0x794c_7630, 0x9123_683e];

/// A regular file, open for reading, and its version when it was opened. Pass it to an
/// [`ElfReader`](crate::ElfReader).
///
/// The descriptor is close-on-exec and `O_NONBLOCK`. Reads of regular files ignore the latter; if another process
/// holds a lease on the file, opening fails with `EAGAIN` instead of waiting.
#[derive(Debug)]
pub struct RegularFile {
    fd: OwnedFd,
    version: FileVersion,
    has_name: bool,
}

impl RegularFile {
    /// The file and its version: the key for a cache of answers.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// Whether the file had any name when it was opened: its link count was not zero.
    #[must_use]
    pub fn has_name(&self) -> bool {
        self.has_name
    }

    /// Whether this is the file of a mapping: the inode on the device.
    ///
    /// On btrfs and overlayfs the inode alone decides, since their files have another device in `maps`; but not that of
    /// memory.
    // docs/design/elf.md#why-does-a-mappings-device-not-always-decide-which-file-it-is
    #[must_use]
    pub fn is(&self, mapped: &MappedFile) -> bool {
        self.version.inode == mapped.inode
            && (self.version.device == mapped.device
                || (!memory::holds(mapped.device) && self.has_another_device_in_maps()))
    }

    fn has_another_device_in_maps(&self) -> bool {
        // The type of the field differs between architectures; the numbers have 32 bits.
        fstatfs(&self.fd).is_ok_and(|system| SYSTEMS_WITH_ANOTHER_DEVICE.contains(&(system.f_type as u32)))
    }
}

impl AsFd for RegularFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<RegularFile> for OwnedFd {
    fn from(file: RegularFile) -> Self {
        file.fd
    }
}

/// Opens `path` for reading, if it leads to a regular file that is not empty. Needs `/proc`.
///
/// # Errors
///
/// [`Error::NotRegular`] for directories, FIFOs, devices and sockets, which are not opened; [`Error::NotElf`] for
/// an empty file; [`Error::Io`] if the path cannot be resolved or opened. Files in `/proc` have the size 0, and
/// some of them block when they are read: they count as empty.
// docs/design/elf.md#why-are-there-two-ways-to-open-a-path
pub fn open_regular(path: impl AsRef<Path>) -> Result<RegularFile, Error> {
    reopen(open_at(CWD, path, OFlags::PATH, Part::File)?)
}

/// Opens `path` for reading at once, whatever it leads to: one system call where [`open_regular`] needs four.
///
/// Only for directories that none but trusted users can write, such as `/usr`. Elsewhere opening may reset a
/// device, take a byte from a pipe's reader, or follow a link that was exchanged a moment ago. It does not wait
/// for a FIFO's writer (`O_NONBLOCK`) and does not take over a terminal (`O_NOCTTY`).
///
/// # Errors
///
/// [`Error::Io`]
pub fn open_trusted(path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
    open_at(CWD, path, READ, Part::File)
}

/// Opens the file behind an `O_PATH` descriptor for reading, after a look at its type.
// docs/design/elf.md#why-is-procselffd-not-kept-open-though-it-would-save-a-microsecond
pub(super) fn reopen(found: OwnedFd) -> Result<RegularFile, Error> {
    let stat = fstat(&found).map_err(io_error(Part::File))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::NotRegular);
    }
    if stat.st_size == 0 {
        return Err(Error::NotElf);
    }
    let mut name = [0; "/proc/self/fd/".len() + 10];
    let mut rest = &mut name[..];
    write!(rest, "/proc/self/fd/{}", found.as_raw_fd()).expect("a descriptor has at most ten digits");
    let unused = rest.len();
    let name = &name[..name.len() - unused];
    let fd = retry(|| open(name, READ | OFlags::CLOEXEC, Mode::empty())).map_err(io_error(Part::File))?;
    Ok(RegularFile { fd, version: FileVersion::from_stat(&stat), has_name: stat.st_nlink > 0 })
}
