//! What an entry of a layer is: a file, a link, a whiteout.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::ReadError;
use super::entry_path::relative;
use super::place::{Place, shortened};
use super::tar::Member;

/// A file name with this prefix removes the file below it (OCI layer specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Behind the prefix, this removes everything below the directory.
const OPAQUE: &[u8] = b".wh..opq";

/// What an entry of a layer does, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerEntry {
    /// The path relative to the root, without `.` and `..`; empty for the root itself. For a whiteout, what it hides.
    pub path: PathBuf,
    /// What the entry is.
    pub kind: EntryKind,
    /// The permissions, set-uid and set-gid included.
    pub mode: u32,
    /// The user that owns it.
    pub uid: u64,
    /// The group that owns it.
    pub gid: u64,
    /// The length of a file in bytes.
    pub size: u64,
}

/// What an entry of a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file. Its content can be read.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this target, which may be anything.
    Symlink(PathBuf),
    /// Another name of this file, relative to the root.
    HardLink(PathBuf),
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// The path of the lower layers is removed.
    Whiteout,
    /// Everything that the lower layers have in this directory is removed.
    OpaqueWhiteout,
}

impl LayerEntry {
    pub(super) fn new(member: Member, place: &Place, path_bytes_max: usize) -> Result<Self, ReadError> {
        let paths = Paths { place, bytes_max: path_bytes_max };
        let path = paths.relative(&member.path)?;
        let (path, kind) = match whiteout(&path) {
            Some(Ok(hidden)) => hidden,
            Some(Err(fault)) => return Err(paths.refused(&member.path, fault)),
            None => (path, kind(&member, &paths)?),
        };
        let Member { mode, uid, gid, size, .. } = member;
        Ok(Self { path, kind, mode, uid, gid, size })
    }
}

/// What a whiteout hides, and how; `None` for other entries. aufs has files of its own with the prefix twice:
/// they hide nothing.
fn whiteout(path: &Path) -> Option<Result<(PathBuf, EntryKind), &'static str>> {
    let hidden = path.file_name()?.as_bytes().strip_prefix(WHITEOUT)?;
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    match hidden {
        OPAQUE => Some(Ok((directory.to_owned(), EntryKind::OpaqueWhiteout))),
        b"" | b"." | b".." => Some(Err("hides no file name")),
        _ if hidden.starts_with(WHITEOUT) => None,
        _ => Some(Ok((directory.join(OsStr::from_bytes(hidden)), EntryKind::Whiteout))),
    }
}

fn kind(member: &Member, paths: &Paths<'_>) -> Result<EntryKind, ReadError> {
    let link = || member.link.as_deref().ok_or_else(|| paths.damaged("a link has no target"));
    Ok(match member.kind {
        // Before ustar, a directory was a file whose name ends in a slash.
        EntryType::Regular if member.path.ends_with(b"/") && member.size == 0 => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous => EntryKind::File,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink(paths.target(link()?)?),
        EntryType::Link => EntryKind::HardLink(paths.relative(link()?)?),
        EntryType::Char => EntryKind::CharacterDevice,
        EntryType::Block => EntryKind::BlockDevice,
        EntryType::Fifo => EntryKind::Fifo,
        _ => return Err(paths.damaged("an entry of unknown type")),
    })
}

/// Turns bytes into paths, or into errors at one place.
struct Paths<'a> {
    place: &'a Place,
    bytes_max: usize,
}

impl Paths<'_> {
    fn relative(&self, path: &[u8]) -> Result<PathBuf, ReadError> {
        self.check_length(path)?;
        relative(path).map_err(|fault| self.refused(path, fault))
    }

    /// A symbolic link may lead anywhere: it is data.
    fn target(&self, target: &[u8]) -> Result<PathBuf, ReadError> {
        self.check_length(target)?;
        if target.contains(&0) {
            return Err(self.refused(target, "has a NUL in it"));
        }
        Ok(PathBuf::from(OsStr::from_bytes(target)))
    }

    fn check_length(&self, path: &[u8]) -> Result<(), ReadError> {
        if path.len() <= self.bytes_max {
            return Ok(());
        }
        Err(ReadError::limit(self.place.clone(), "path_bytes", self.bytes_max as u64))
    }

    fn refused(&self, path: &[u8], fault: &'static str) -> ReadError {
        ReadError::Path { place: self.place.clone(), path: shortened(&String::from_utf8_lossy(path)), fault }
    }

    fn damaged(&self, fault: &'static str) -> ReadError {
        ReadError::Tar { place: self.place.clone(), fault }
    }
}
