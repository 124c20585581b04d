//! Paths in tar archives: below the root, or refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// The path relative to the root. Readers ignore a leading slash, `.` and repeated slashes.
/// `..` is refused: some readers apply it, others remove it.
pub(super) fn relative(path: &[u8]) -> Result<PathBuf, &'static str> {
    let mut relative = PathBuf::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("leads out of the root"),
            name if name.contains(&0) => return Err("has a NUL in it"),
            name => relative.push(OsStr::from_bytes(name)),
        }
    }
    Ok(relative)
}
