//! Collector: the command line, and the part of it that may leave the node.
//!
//! Arguments are capped in number and length, and masked if a name gives them away as a secret
//! (docs/design/observer.md#why-are-arguments-of-a-command-line-masked).

use zastava_core::contract::Evidence;
use zastava_core::vocabulary::Signal;
use zastava_elf::Process;

use crate::text::{bounded, reason};

/// The longest command line that is read.
const COMMAND_LINE_BYTES_MAX: u64 = 64 << 10;
/// The value of a name that contains one of these is a secret.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "api-key", "credential"];
/// Replaces a secret.
const MASK: &str = "…";

/// The command line of a process, as it is.
pub(super) fn read(process: &Process) -> (Vec<String>, Vec<Evidence>) {
    match process.read("cmdline", COMMAND_LINE_BYTES_MAX) {
        Ok(content) => (parse(&content), Vec::new()),
        Err(error) => (Vec::new(), vec![Evidence::new(Signal::ProcCmdline, reason(&error.into()))]),
    }
}

/// Arguments end with a NUL each (proc_pid_cmdline(5)).
fn parse(content: &[u8]) -> Vec<String> {
    let content = content.strip_suffix(b"\0").unwrap_or(content);
    if content.is_empty() {
        return Vec::new();
    }
    content.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The program and its arguments, at most `max` words but always the program. Each word is bounded.
///
/// Masked are `--password=…`, the word after `--token`, `PASSWORD=…`, and the password of a URL.
pub(crate) fn cap_arguments(words: Vec<String>, max: usize) -> Vec<String> {
    let mut secret_follows = false;
    let mut masked = |word: String| {
        let follows = std::mem::replace(&mut secret_follows, false);
        if follows && !word.starts_with('-') {
            return MASK.to_owned();
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
            None if word.starts_with('-') && is_secret(&word) => {
                secret_follows = true;
                word
            }
            _ => without_url_password(word),
        }
    };
    words.into_iter().take(max.max(1)).map(|word| bounded(&masked(word))).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    // The name of a file is not a secret: --token-file /run/token.
    !name.ends_with("-file")
        && !name.ends_with("-path")
        && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// `scheme://user:password@host` (RFC 3986 section 3.2.1).
fn without_url_password(word: String) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(user_info, _)| user_info.split_once(':')) {
        Some((user, password)) => {
            format!("{scheme}://{user}:{MASK}{}", &rest[user.len() + 1 + password.len()..])
        }
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, max: usize, wanted: &str) {
        let words = line.split(' ').map(str::to_owned).collect();
        assert_eq!(cap_arguments(words, max).join(" "), wanted);
    }

    #[test]
    fn secrets_that_their_names_give_away_are_masked() {
        check("api --password=hunter2 --port=80", 9, "api --password=… --port=80");
        check("api --auth-token hunter2 serve", 9, "api --auth-token … serve");
        check("api --token --verbose x", 9, "api --token --verbose x");
        check("env DB_PASSWORD=hunter2 api", 9, "env DB_PASSWORD=… api");
        check("api --API_KEY=hunter2", 9, "api --API_KEY=…");
        check("api --token-file=/run/token", 9, "api --token-file=/run/token");
        check("psql postgres://me:hunter2@db:5432/x?a=b", 9, "psql postgres://me:…@db:5432/x?a=b");
        check("curl https://host/a:b@c", 9, "curl https://host/a:b@c");
    }

    #[test]
    fn the_program_is_named_even_where_no_argument_is_wanted() {
        check("api serve", 0, "api");
        check("api serve fast", 2, "api serve");
    }
}
