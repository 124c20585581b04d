//! `/proc/<pid>/maps`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

const DELETED: &[u8] = b" (deleted)";

/// A file that is mapped as code (proc_pid_maps(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// The file as the process sees it, below its root.
    pub path: PathBuf,
    /// The file's inode number. The device is left out: on overlayfs and btrfs it legitimately
    /// differs from what `stat` says.
    pub inode: u64,
    /// The kernel says that the name is gone. A file may also be called so: only the inode decides.
    pub deleted: bool,
}

/// The files mapped as code, in the order of addresses. Lines that are not what the kernel writes
/// are passed over, as are the kernel's own mappings.
pub fn executable_mappings(content: &[u8]) -> impl Iterator<Item = Mapping> + '_ {
    content.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// `7f…-7f… r-xp 00001000 fe:00 1234   /usr/lib/libc.so.6 (deleted)`
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let _range = word(&mut rest)?;
    let permissions = word(&mut rest)?;
    let _offset = word(&mut rest)?;
    let _device = word(&mut rest)?;
    let inode = std::str::from_utf8(word(&mut rest)?).ok()?.parse().ok()?;
    let name = rest.trim_ascii_start();
    if permissions.get(2) != Some(&b'x') || inode == 0 || name.first() != Some(&b'/') {
        return None;
    }
    let (name, deleted) = match name.strip_suffix(DELETED) {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(Mapping { path: PathBuf::from(OsString::from_vec(unescape(name))), inode, deleted })
}

fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = rest.trim_ascii_start();
    let end = start.iter().position(|byte| *byte == b' ')?;
    let (word, after) = start.split_at(end);
    *rest = after;
    Some(word)
}

/// The kernel escapes line breaks as `\012` and nothing else (`seq_path` with `"\n"`, fs/proc/task_mmu.c).
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        match rest.strip_prefix(b"\\012") {
            Some(after) => {
                out.push(b'\n');
                rest = after;
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}
