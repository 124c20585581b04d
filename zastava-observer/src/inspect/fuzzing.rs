//! Readers of files that workloads and the kernel write, for the fuzz targets.

use super::drift::layers::{LOWER_MAX, RootMount};
use super::shebang;

/// A `/proc/<pid>/mountinfo`.
pub fn mountinfo(text: &[u8]) {
    let layers = RootMount::parse(text).and_then(|mount| mount.layers);
    assert!(layers.is_none_or(|layers| layers.lower.len() <= LOWER_MAX));
}

/// The beginning of a file that a workload wants to run.
pub fn shebang(head: &[u8]) {
    let Some(line) = shebang::parse(head) else { return };
    assert!(!line.interpreter.is_empty() && head.len() > line.interpreter.len());
    for part in [Some(line.interpreter), line.argument].into_iter().flatten() {
        assert!(!part.is_empty() && !part.contains(&b'\n') && !part.contains(&0));
    }
    if let Some(argument) = line.argument.and_then(|argument| std::str::from_utf8(argument).ok()) {
        assert!(shebang::env_program(argument).is_none_or(|program| !program.is_empty()));
    }
}
