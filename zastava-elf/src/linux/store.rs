//! Debug files by build-id, below directories such as `/usr/lib/debug`. Each is checked by its own id.

use std::path::Path;
use std::vec::Vec;

use crate::build_id::BuildId;
use crate::error::Error;
use crate::linux::open::RegularFile;
use crate::linux::root::{Root, find_in_root};
use crate::part::Part;
use crate::paths::DebugPath;
use crate::policy::Order;
use crate::reader::{ElfReader, FOR_BUILD_ID};

/// The sections of debug files are right; their segments may be stale.
const OF_DEBUG_FILES: ElfReader = FOR_BUILD_ID.in_order(Order::SectionsThenSegments);

/// Directories that contain `.build-id/aa/rest.debug`, searched in the order given.
///
/// ```
/// use zastava_elf::{DebugStore, Lookup};
///
/// let store = DebugStore::open(["/usr/lib"])?;
/// assert!(matches!(store.find(&"abcdef".parse().unwrap())?, Lookup::Missing));
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// Links are followed and do not lead out of their root. Nothing is cached.
// docs/design/elf.md#why-must-a-file-of-a-debug-store-have-the-id
#[derive(Debug)]
pub struct DebugStore {
    roots: Vec<Root>,
}

/// What a store has for an id.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// A file with the id.
    Found(RegularFile),
    /// A file at the path of the id that has another id.
    Mismatch {
        /// The id that was asked for.
        wanted: BuildId,
        /// The id of the file, if it has one.
        got: Option<BuildId>,
    },
    /// No file.
    Missing,
}

impl DebugStore {
    /// Holds these directories open.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one of them cannot be opened or is not a directory.
    pub fn open<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        Ok(Self { roots: roots.into_iter().map(Root::open).collect::<Result<_, _>>()? })
    }

    /// Whether there is anything at the path of the id's debug file. One lookup for each root; nothing is read.
    /// An id of one byte has no path.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a lookup fails for another reason than that nothing is there.
    pub fn contains(&self, id: &BuildId) -> Result<bool, Error> {
        let Some(path) = id.debug_path() else { return Ok(false) };
        for root in &self.roots {
            if present(find_in_root(root, path.as_ref()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds the debug file with this id.
    ///
    /// # Errors
    ///
    /// The reason why a file could not be read, if no root has a better answer.
    pub fn find(&self, id: &BuildId) -> Result<Lookup, Error> {
        self.lookup(id, id.debug_path(), &OF_DEBUG_FILES)
    }

    /// Finds the executable or library itself, by the link `.build-id/aa/rest`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_executable(&self, id: &BuildId) -> Result<Lookup, Error> {
        self.lookup(id, id.executable_path(), &FOR_BUILD_ID)
    }

    /// The first right file, or the first wrong one, or the first error.
    fn lookup(&self, id: &BuildId, path: Option<DebugPath>, reader: &ElfReader) -> Result<Lookup, Error> {
        let mut answer = Ok(Lookup::Missing);
        let Some(path) = path else { return answer };
        for root in &self.roots {
            match (candidate(root, &path, id, reader), &answer) {
                (found @ Ok(Lookup::Found(_)), _) => return found,
                (other @ Ok(Lookup::Mismatch { .. }), Ok(Lookup::Missing) | Err(_)) => answer = other,
                (other @ Err(_), Ok(Lookup::Missing)) => answer = other,
                _ => {}
            }
        }
        answer
    }
}

fn candidate(root: &Root, path: &DebugPath, wanted: &BuildId, reader: &ElfReader) -> Result<Lookup, Error> {
    let Some(file) = present(root.open_regular(path))? else { return Ok(Lookup::Missing) };
    match reader.build_id(&file)? {
        Some(got) if got == *wanted => Ok(Lookup::Found(file)),
        got => Ok(Lookup::Mismatch { wanted: *wanted, got }),
    }
}

/// `None` for a path that leads nowhere: absent, dangling, through a file, or around in a circle.
fn present<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    const NOWHERE: [rustix::io::Errno; 3] =
        [rustix::io::Errno::NOENT, rustix::io::Errno::NOTDIR, rustix::io::Errno::LOOP];
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { part: Part::File, error })
            if NOWHERE.iter().any(|errno| errno.raw_os_error() == error.raw()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
