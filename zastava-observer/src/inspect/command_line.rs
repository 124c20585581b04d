//! Collector: the command line, and the part of it that may leave the node.
//!
//! Arguments are capped in number and length, and lose their secrets
//! (docs/design/observer.md#why-are-arguments-of-a-command-line-masked).

use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;

use super::subject::Subject;
use crate::redact::redact;
use crate::text::{bounded, readable};

/// The longest command line that is read.
const COMMAND_LINE_BYTES_MAX: u64 = 64 << 10;

/// The command line of a process, as it is.
pub(super) fn read(subject: &mut Subject) -> (Vec<String>, Vec<Evidence>) {
    match subject.read_file("cmdline", COMMAND_LINE_BYTES_MAX) {
        Ok(content) => (parse(&content), Vec::new()),
        Err(reason) => (Vec::new(), vec![Evidence::new(Signal::ProcCmdline, reason)]),
    }
}

/// Arguments end with a NUL each (proc_pid_cmdline(5)). A program that writes a title over its arguments, as nginx does,
/// fills the rest with NULs.
fn parse(content: &[u8]) -> Vec<String> {
    let Some(last) = content.iter().rposition(|byte| *byte != 0) else { return Vec::new() };
    content[..=last].split(|byte| *byte == 0).map(readable).collect()
}

/// The program and its arguments without secrets, at most `max` words but always the program. Each word is bounded
/// first, so that a long one costs no more than it shows.
pub(crate) fn cap_arguments(mut words: Vec<String>, max: usize) -> Vec<String> {
    words.truncate(max.max(1));
    // A title holds arguments too.
    if max == 0
        && let Some(program) = words.first_mut()
    {
        program.truncate(program.find(char::is_whitespace).unwrap_or(program.len()));
    }
    redact(words.iter().map(|word| bounded(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], max: usize, wanted: &[&str]) {
        assert_eq!(cap_arguments(parse(content), max), wanted);
    }

    #[test]
    fn the_program_is_named_even_where_no_argument_is_wanted() {
        check(b"api\0serve\0", 0, &["api"]);
        check(b"nginx: master process nginx -g daemon off;", 0, &["nginx:"]);
        check(b"api\0serve\0fast\0", 2, &["api", "serve"]);
        check(b"api\0--password\0hunter2\0", 9, &["api", "--password", "…"]);
    }

    #[test]
    fn a_title_that_replaces_the_arguments_is_one_word() {
        check(
            b"nginx: master process nginx -g daemon off;\0\0\0\0\0\0",
            9,
            &["nginx: master process nginx -g daemon off;"],
        );
        check(b"postgres: writer", 9, &["postgres: writer"]);
        check(b"sh\0-c\0\0exit\0", 9, &["sh", "-c", "", "exit"]);
        check(b"\0\0\0", 9, &[]);
    }

    #[test]
    fn arguments_that_are_not_utf_8_stay_apart() {
        check(b"cat\0/\xff\0/\xfe\0", 9, &["cat", r"/\xff", r"/\xfe"]);
        check("cat\0/ä\0".as_bytes(), 9, &["cat", "/ä"]);
    }

    #[test]
    fn an_empty_command_line_is_empty() {
        check(b"", 9, &[]);
    }
}
