//! `/proc/<pid>/maps` (proc_pid_maps(5)): one line a mapping.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::vec::Vec;

/// A file mapped into a process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// Where in the process.
    pub addresses: Range<u64>,
    /// Whether it may be executed.
    pub is_executable: bool,
    /// Where in the file.
    pub offset: u64,
    /// Major and minor number of the file system. With some (btrfs, overlayfs) not the one `stat` tells.
    pub device: (u32, u32),
    /// The file in it.
    pub inode: u64,
    /// Its name as the kernel tells it: for showing. A newline is written `\012`.
    pub path: PathBuf,
    /// Whether that name is gone. A name that really ends in ` (deleted)` looks the same.
    pub is_deleted: bool,
}

/// The lines that name a file; `None` if any line is not understood.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Mapping>> {
    let mut mappings = Vec::new();
    for text in text.split(|&byte| byte == b'\n').filter(|text| !text.is_empty()) {
        mappings.extend(line(text)?);
    }
    Some(mappings)
}

/// `Some(None)` for memory without a file.
fn line(line: &[u8]) -> Option<Option<Mapping>> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let (start, end) = pair(fields.next()?, b'-')?;
    let permissions = fields.next()?;
    let offset = number(fields.next()?, 16)?;
    let (major, minor) = pair(fields.next()?, b':')?;
    let inode = number(fields.next()?, 10)?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    if inode == 0 || !path.starts_with(b"/") {
        return Some(None);
    }
    let (path, is_deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    Some(Some(Mapping {
        addresses: start..end,
        is_executable: permissions.get(2) == Some(&b'x'),
        offset,
        device: (u32::try_from(major).ok()?, u32::try_from(minor).ok()?),
        inode,
        path: PathBuf::from(OsStr::from_bytes(path)),
        is_deleted,
    }))
}

fn pair(field: &[u8], separator: u8) -> Option<(u64, u64)> {
    let at = field.iter().position(|&byte| byte == separator)?;
    Some((number(&field[..at], 16)?, number(&field[at + 1..], 16)?))
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
}
