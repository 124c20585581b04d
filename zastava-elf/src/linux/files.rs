//! The files of a process, found by the paths that the kernel shows.
//!
//! A path in `maps` begins at the root of the process's mount namespace, while the process may have another root
//! (`chroot`). The file may have been deleted or replaced, or only look like it by its name. So each way to the file is
//! tried, and the file that it leads to decides.

use std::format;
use std::path::{Path, PathBuf};

use rustix::io::Errno as RawErrno;

use crate::error::Error;
use crate::linux::calls::io_error;
use crate::linux::directory::Directory;
use crate::linux::kernel_path::KernelPath;
use crate::linux::maps::{MappedFile, Mapping};
use crate::linux::open::{RegularFile, reopen};
use crate::linux::process::Process;
use crate::linux::root::{Root, find_in_root, find_without_links};
use crate::linux::threads::Stat;
use crate::linux::version::{Device, FileVersion};
use crate::part::Part;

/// How far up the tree of processes one is looked for that sees what is outside of a changed root.
const ANCESTORS_MAX: usize = 16;

/// Opens the files that a process runs and has mapped.
///
/// ```
/// use zastava_elf::{Process, build_id_of};
///
/// let process = Process::current()?;
/// let files = process.files()?;
/// for mapping in process.mappings()?.iter().filter(|mapping| mapping.is_executable) {
///     let Some(mapped) = mapping.file() else { continue };
///     match files.open(mapping) {
///         Ok(opened) => println!("{} {:?}", mapped.path.as_path().display(), build_id_of(&opened.file)?),
///         Err(error) => println!("{} {error}", mapped.path.as_path().display()),
///     }
/// }
/// # Ok::<(), zastava_elf::Error>(())
/// ```
// docs/design/elf.md#how-is-a-mapped-file-opened
#[derive(Debug)]
pub struct ProcessFiles {
    process: Process,
    root: Root,
    /// Where the root is in the mount namespace: `/`, or another directory after a `chroot`.
    root_path: PathBuf,
    /// The root of the mount namespace, for a process with another root; `None` if nothing leads there.
    outside: Option<Root>,
}

/// A mapped file that was opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedFile {
    /// The file: the one that is mapped.
    pub file: RegularFile,
    /// The path that leads to it in the process's mount namespace; `None` if none was found, such as for a file that
    /// was deleted.
    pub path: Option<PathBuf>,
}

/// Where a file may be; see [`ProcessFiles::places`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FilePlace<'p> {
    /// The directory that the path is looked up in.
    pub root: &'p Root,
    /// The path below it.
    pub path_in_root: &'p Path,
    /// The path in the process's mount namespace.
    pub path: &'p Path,
}

impl FilePlace<'_> {
    /// Opens the file, if no link is on the way. The kernel shows paths without links. One that is there now was put
    /// there since, perhaps to lead to a file that has the same inode number.
    ///
    /// # Errors
    ///
    /// As [`Root::open_regular`]; [`Error::Io`]: `ELOOP` for a link.
    pub fn open(&self) -> Result<RegularFile, Error> {
        reopen(find_without_links(self.root, self.path_in_root)?)
    }
}

impl ProcessFiles {
    pub(super) fn of(process: &Process) -> Result<Self, Error> {
        let (root, root_path) = (process.root()?, PathBuf::from(process.link("root")?));
        // Looked up here and not when it is needed: opening another process's root can make this wait.
        let outside = if root_path == Path::new("/") { None } else { find_outside(process) };
        Ok(Self { process: process.clone(), root, root_path, outside })
    }

    /// Opens the file of a mapping: by its path, or by its address with the capability that
    /// [`Process::open_mapping`] takes.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] if the path leads to another file. [`Error::NotRegular`], also for a mapping without a file;
    /// [`Error::NotElf`] for an empty file; [`Error::Io`]: `ENOENT` for a file that was deleted.
    pub fn open(&self, mapping: &Mapping) -> Result<OpenedFile, Error> {
        let Some(mapped) = mapping.file() else { return Err(Error::NotRegular) };
        self.open_by_path(mapped).or_else(|error| {
            let file = self.open_by_address(mapping).map_err(|_| error)?;
            Ok(OpenedFile { file, path: None })
        })
    }

    /// Opens the file of a mapping by its address alone; see [`Process::open_mapping`].
    ///
    /// # Errors
    ///
    /// As that; [`Error::Replaced`] if another file is mapped there by now.
    pub fn open_by_address(&self, mapping: &Mapping) -> Result<RegularFile, Error> {
        let file = self.process.open_mapping(mapping.addresses.clone())?;
        if mapping.file().is_some_and(|mapped| file.is(mapped)) { Ok(file) } else { Err(Error::Replaced) }
    }

    /// The path that leads to the file with this device and inode (see [`FileVersion`]), which the kernel shows as
    /// `shown`; `None` if it was deleted, replaced or hidden.
    #[must_use]
    pub fn path_to<'p>(&'p self, shown: &'p KernelPath, device: Device, inode: u64) -> Option<&'p Path> {
        let leads_to_it = |place: &FilePlace<'_>| {
            let found = find_in_root(place.root, place.path_in_root).and_then(FileVersion::of);
            found.is_ok_and(|found| (found.device, found.inode) == (device, inode))
        };
        self.places(shown).find(leads_to_it).map(|place| place.path)
    }

    /// Where the file may be that the kernel shows as `shown`, the most likely place first. For callers that look it up
    /// in their own way; nothing is looked up here.
    pub fn places<'p>(&'p self, shown: &'p KernelPath) -> impl Iterator<Item = FilePlace<'p>> {
        shown.readings().filter_map(|path| match path.strip_prefix(&self.root_path) {
            Ok(path_in_root) => Some(FilePlace { root: &self.root, path_in_root, path }),
            // The file was opened before the root was changed, or is from outside.
            Err(_) => Some(FilePlace { root: self.outside.as_ref()?, path_in_root: path, path }),
        })
    }

    fn open_by_path(&self, mapped: &MappedFile) -> Result<OpenedFile, Error> {
        let mut failure = None;
        for place in self.places(&mapped.path) {
            match place.open() {
                Ok(file) if file.is(mapped) => {
                    return Ok(OpenedFile { file, path: Some(place.path.into()) });
                }
                Ok(_) => failure = Some(Error::Replaced),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| io_error(Part::File)(RawErrno::NOENT)))
    }
}

/// The root of an ancestor in the same mount namespace that has not changed it.
fn find_outside(process: &Process) -> Option<Root> {
    let namespace = process.link("ns/mnt").ok()?;
    let mut parent = Stat::read(process.directory())?.parent;
    for _ in 0..ANCESTORS_MAX {
        let ancestor = Process::of(sibling(process, parent)?);
        let is_outside = ancestor.link("root").is_ok_and(|root| root.as_path() == Path::new("/"));
        if is_outside && ancestor.link("ns/mnt").is_ok_and(|other| other == namespace) {
            return ancestor.root().ok();
        }
        parent = Stat::read(ancestor.directory())?.parent;
    }
    None
}

/// Another process of the same `/proc`.
fn sibling(process: &Process, pid: u32) -> Option<Directory> {
    process.directory().directory(format!("../{pid}").as_ref(), Part::Process).ok()
}
