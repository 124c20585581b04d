//! Text from a workload or the system, bounded before it is repeated.

use std::io;

use crate::procfs::is_gone;

/// The longest argument, path or reason that is repeated.
const CHARACTERS_MAX: usize = 4096;

/// The text, cut at a fixed length.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(CHARACTERS_MAX).collect()
}

/// Why something of a process could not be read, in words that do not depend on the C library.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if is_gone(error) => "the process has ended".to_owned(),
        _ => bounded(&error.to_string()),
    }
}
