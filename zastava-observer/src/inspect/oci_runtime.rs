//! Recognises the OCI runtime's own process, which becomes the container's program by `exec`. runc is the one that is
//! known; the processes of others are taken for the program.

use std::path::Path;

/// Whether this is `runc init`. runc may run from a copy of itself in a memfd, and shows no path at all
/// after it changed roots.
pub(super) fn is_stage(arguments: &[String], executable: Option<&Path>) -> bool {
    let [program, stage, ..] = arguments else { return false };
    let named = Path::new(program).file_name().is_some_and(|name| name == "runc") && stage == "init";
    let path = executable.map(Path::to_string_lossy);
    named && path.is_none_or(|path| path == "/" || path.contains("runc"))
}
