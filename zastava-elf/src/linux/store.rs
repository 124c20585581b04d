//! Debug files by id, below directories such as `/usr/lib/debug`, each checked by its own id.

use std::path::Path;
use std::vec::Vec;

use crate::build_id::BuildId;
use crate::error::{Error, Place};
use crate::linux::open::{RegularFile, Root, find_in_root};
use crate::paths::DebugPath;
use crate::scan::{FOR_BUILD_ID, Order, Scanner};
use crate::search::Search;

/// Debug files have sections that are right and segments that may be stale.
const OF_DEBUG_FILES: Scanner = FOR_BUILD_ID.in_order(Order::SectionsThenSegments);

/// One or more trees of `.build-id/aa/rest.debug`, searched in the order given.
///
/// ```
/// use zastava_elf::{DebugStore, Lookup};
///
/// let store = DebugStore::open(["/usr/lib"])?;
/// assert!(matches!(store.find(&"abcdef".parse().unwrap())?, Lookup::Missing));
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// Links are followed but do not lead out of their root. Nothing is remembered: what is missing may come.
#[derive(Debug)]
pub struct DebugStore {
    roots: Vec<Root>,
}

/// What a store has under an id.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// A file that carries the id.
    Found(RegularFile),
    /// A file that lies where the id's would, and carries another.
    Mismatch {
        /// The id that was asked for.
        wanted: BuildId,
        /// The id of the file; `None` if it has none.
        got: Option<BuildId>,
    },
    /// Nothing.
    Missing,
}

impl DebugStore {
    /// Holds these directories.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one of them cannot be opened or is none.
    pub fn open<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        Ok(Self { roots: roots.into_iter().map(Root::open).collect::<Result<_, _>>()? })
    }

    /// Whether something lies where the id's debug file would: one lookup a root, nothing is read. An id of
    /// one byte has no such place.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] for what is neither there nor missing.
    pub fn contains(&self, id: &BuildId) -> Result<bool, Error> {
        let Some(path) = id.debug_path() else { return Ok(false) };
        for root in &self.roots {
            if present(find_in_root(root, path.as_ref()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The id's debug file.
    ///
    /// # Errors
    ///
    /// Why a file could not be judged, if no root has a better answer.
    pub fn find(&self, id: &BuildId) -> Result<Lookup, Error> {
        self.lookup(id, id.debug_path(), &OF_DEBUG_FILES)
    }

    /// The executable or library itself, by the link `.build-id/aa/rest`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_executable(&self, id: &BuildId) -> Result<Lookup, Error> {
        self.lookup(id, id.executable_path(), &FOR_BUILD_ID)
    }

    /// The first root with the right file; else the first wrong file; else the first error.
    fn lookup(&self, id: &BuildId, path: Option<DebugPath>, scanner: &Scanner) -> Result<Lookup, Error> {
        let mut answer = Ok(Lookup::Missing);
        let Some(path) = path else { return answer };
        for root in &self.roots {
            match (candidate(root, &path, id, scanner), &answer) {
                (found @ Ok(Lookup::Found(_)), _) => return found,
                (other @ Ok(Lookup::Mismatch { .. }), Ok(Lookup::Missing) | Err(_)) => answer = other,
                (other @ Err(_), Ok(Lookup::Missing)) => answer = other,
                _ => {}
            }
        }
        answer
    }
}

fn candidate(root: &Root, path: &DebugPath, wanted: &BuildId, scanner: &Scanner) -> Result<Lookup, Error> {
    let Some(file) = present(root.open_regular(path))? else { return Ok(Lookup::Missing) };
    match Search::new(&file, scanner).file_build_id()? {
        Some(got) if got == *wanted => Ok(Lookup::Found(file)),
        got => Ok(Lookup::Mismatch { wanted: *wanted, got }),
    }
}

/// `None` for a path that leads nowhere: absent, dangling, through a file or in a circle.
fn present<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    const NOWHERE: [rustix::io::Errno; 3] =
        [rustix::io::Errno::NOENT, rustix::io::Errno::NOTDIR, rustix::io::Errno::LOOP];
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { place: Place::Open, error })
            if NOWHERE.iter().any(|errno| errno.raw_os_error() == error.raw()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
