//! Text from a workload or the system, bounded before it is repeated.

use std::io;
use std::path::Path;

use crate::procfs::is_gone;

/// The longest argument, path or reason that is repeated.
const CHARACTERS_MAX: usize = 4096;

/// The text, cut at a fixed length.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(CHARACTERS_MAX).collect()
}

/// Text whose bytes that are not UTF-8 are shown as `\xff`, so that two texts do not become one.
pub(crate) fn readable(text: &[u8]) -> String {
    let chunks = text.utf8_chunks();
    chunks.map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

/// A path of a workload, cut at a fixed length.
pub(crate) fn shown(path: &Path) -> String {
    bounded(&readable(path.as_os_str().as_encoded_bytes()))
}

/// Why something of a process could not be read, with the number of the system's error, which tells apart what the words
/// do not.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) if is_gone(error) => format!("the process has ended (os error {number})"),
        _ => bounded(&error.to_string()),
    }
}

/// Why a file could not be read, with the cause.
pub(crate) fn cause(error: &zastava_elf::Error) -> String {
    match error {
        zastava_elf::Error::Io { error: cause, .. } => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn paths_that_are_not_utf_8_stay_apart() {
        for (path, wanted) in [
            (&b"/lib/libc.so.6"[..], "/lib/libc.so.6"),
            ("/lib/ä\u{fffd}.so".as_bytes(), "/lib/ä\u{fffd}.so"),
            (&b"/\xff.so"[..], r"/\xff.so"),
            (&b"/\xfe.so"[..], r"/\xfe.so"),
            (&b"/\xc3\xa4\xc3(\xf0\x9f"[..], r"/ä\xc3(\xf0\x9f"),
            (&b""[..], ""),
        ] {
            assert_eq!(shown(Path::new(OsStr::from_bytes(path))), wanted);
        }
        assert_eq!(shown(Path::new(OsStr::from_bytes(&[0xff; 5000]))).chars().count(), CHARACTERS_MAX);
    }

    #[test]
    fn the_cause_of_a_failure_is_kept() {
        for (number, wanted) in [
            (2, "the process has ended (os error 2)"),
            (3, "the process has ended (os error 3)"),
            (1, "Operation not permitted (os error 1)"),
            (13, "Permission denied (os error 13)"),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number)), wanted);
        }
        // The words are the C library's.
        for number in [5, 40, 107, 110, 116] {
            let missing = zastava_elf::open_regular("/nowhere/at/all").expect_err("is not there");
            let text = reason(&io::Error::from_raw_os_error(number));
            assert!(text.ends_with(&format!("(os error {number})")), "{text}");
            assert_eq!(cause(&missing), "cannot open ELF file: No such file or directory (os error 2)");
        }
        assert_eq!(reason(&io::Error::other("nothing is mounted")), "nothing is mounted");
        let directory = zastava_elf::open_regular("/").expect_err("is a directory");
        assert_eq!(cause(&directory), "not a regular file");
    }
}
