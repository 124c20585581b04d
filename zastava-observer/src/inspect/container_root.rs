//! Programs as a container's process finds them below its root.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fstat, fstatvfs};
use rustix::io::{Errno, pread};
use zastava_elf::{Error, RegularFile, Root};

use crate::reads::{NotRead, Place, UnderWay};
use crate::text::cause;
use crate::workload::{DeclaredProcess, DeclaredUser};

/// A container's root directory, the process that looks for programs there, and the read that does so for it.
pub(super) struct ContainerRoot<'a> {
    pub(super) root: &'a Root,
    pub(super) process: &'a DeclaredProcess,
    pub(super) under_way: &'a UnderWay,
    /// What a look-up waits for.
    pub(super) look_up: Place,
}

/// A program that the process can execute.
#[derive(Debug)]
pub(super) struct FoundProgram {
    /// Where it was found, in the container. Links on the way are not resolved.
    pub(super) path: PathBuf,
    pub(super) file: RegularFile,
}

/// Why there is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Miss {
    #[error("the specification names no program")]
    NoName,
    #[error("not found")]
    NotFound,
    #[error("not found: there is no PATH")]
    NoPath,
    #[error("not a regular file")]
    NotRegular,
    #[error("no permission to execute it")]
    NotExecutable,
    #[error("empty")]
    Empty,
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

impl Miss {
    /// Whether a search along `PATH` goes on behind it. Go's `LookPath`, which runc uses, does so.
    fn is_passed_by(&self) -> bool {
        matches!(self, Self::NotFound | Self::NotRegular | Self::NotExecutable)
    }
}

impl ContainerRoot<'_> {
    /// The program that a word means: with a slash a path, otherwise a name that is searched along `PATH`.
    pub(super) fn program(&self, word: &str) -> Result<FoundProgram, Miss> {
        self.program_along(self.process.variables.get("PATH"), word)
    }

    /// The same along another `PATH`.
    pub(super) fn program_along(&self, path: Option<&str>, word: &str) -> Result<FoundProgram, Miss> {
        if word.is_empty() {
            return Err(Miss::NoName);
        }
        if word.contains('/') {
            return self.program_at(Path::new(word));
        }
        let path = path.filter(|path| !path.is_empty()).ok_or(Miss::NoPath)?;
        let mut miss = Miss::NotFound;
        for directory in path.split(':') {
            // An empty element is the working directory.
            match self.program_at(&Path::new(directory).join(word)) {
                // That nothing is there says less than that something cannot be executed.
                Err(found) if found.is_passed_by() => {
                    miss = if found == Miss::NotFound { miss } else { found }
                }
                found => return found,
            }
        }
        Err(miss)
    }

    /// The program at a path, which is relative to the working directory if it does not begin at the root.
    pub(super) fn program_at(&self, path: &Path) -> Result<FoundProgram, Miss> {
        let found = self.file_at(path)?;
        match may_execute(&found.file, &self.process.user) {
            Ok(true) => Ok(found),
            Ok(false) => Err(Miss::NotExecutable),
            Err(error) => Err(Miss::Unreadable(std::io::Error::from(error).to_string())),
        }
    }

    /// The file at a path, whether it can be executed or not.
    pub(super) fn file_at(&self, path: &Path) -> Result<FoundProgram, Miss> {
        let path = Path::new("/").join(&self.process.cwd).join(path);
        self.under_way.goes_to(self.look_up)?;
        let file = self.root.open_regular(&path).map_err(|error| miss(&error))?;
        self.under_way.goes_to(Place::FileSystem(file.version().device))?;
        Ok(FoundProgram { path, file })
    }
}

impl FoundProgram {
    /// The first bytes of the file: as many as `head` has room for, or all.
    pub(super) fn read_head<'h>(&self, head: &'h mut [u8]) -> Result<&'h [u8], Miss> {
        let mut filled = 0;
        while filled < head.len() {
            match pread(&self.file, &mut head[filled..], filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Miss::Unreadable(std::io::Error::from(error).to_string())),
            }
        }
        Ok(&head[..filled])
    }
}

fn miss(error: &Error) -> Miss {
    const NOT_FOUND: [Errno; 3] = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    match error {
        Error::NotRegular => Miss::NotRegular,
        Error::NotElf => Miss::Empty,
        Error::Io { error, .. } if NOT_FOUND.iter().any(|errno| errno.raw_os_error() == error.raw()) => {
            Miss::NotFound
        }
        error => Miss::Unreadable(cause(error)),
    }
}

/// Whether the user may execute the file: by the bits of its mode and the options of its mount. Access lists and the
/// directories on the way are not looked at.
fn may_execute(file: &RegularFile, user: &DeclaredUser) -> rustix::io::Result<bool> {
    let stat = fstat(file)?;
    let is_in_group = stat.st_gid == user.gid || user.additional_gids.contains(&stat.st_gid);
    let bits = match () {
        () if user.uid == 0 => 0o111,
        () if stat.st_uid == user.uid => 0o100,
        () if is_in_group => 0o010,
        () => 0o001,
    };
    Ok(stat.st_mode & bits != 0 && !fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
