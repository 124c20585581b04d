//! Secrets that their place gives away: in a URL, or among the arguments of a call.

use std::ops::Range;
use std::sync::LazyLock;

use super::name::Class;
use super::{template, value};

/// Where the paths of services hold what lets anyone use them.
static URLS: LazyLock<Vec<(Class, &str, &str)>> = LazyLock::new(|| {
    let place = |line: &'static str| {
        let (class, place) = line.split_once(' ')?;
        let (start, form) = place.split_once(' ')?;
        let class = match class {
            "secret" => Class::Secret,
            "chosen" => Class::Chosen,
            _ => Class::Random,
        };
        Some((class, start, form))
    };
    lines(include_str!("urls.txt")).filter_map(place).collect()
});

/// Calls and statements in which a secret has its place.
static CALLS: LazyLock<Vec<(&str, &str)>> =
    LazyLock::new(|| lines(include_str!("calls.txt")).filter_map(|line| line.split_once(" -> ")).collect());

/// No service has longer paths. The limit keeps a text of many paths cheap.
const PATH_MAX: usize = 512;

/// The lines of a table.
pub(super) fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Adds the secrets of URLs and calls.
pub(super) fn scan(text: &str, secrets: &mut Vec<Range<usize>>) {
    if text.contains('/') {
        urls(text, secrets);
    }
    if text.contains([' ', '(']) {
        calls(text, secrets);
    }
    user_info(text, secrets);
}

fn urls(text: &str, secrets: &mut Vec<Range<usize>>) {
    let is_end = |letter: char| letter.is_whitespace() || "\"'<>\\`#".contains(letter);
    for &(class, start, form) in &*URLS {
        for (at, _) in text.match_indices(start) {
            let from = at + start.len();
            let rest = &text[from..];
            let rest = &rest[..rest.floor_char_boundary(PATH_MAX)];
            let rest = &rest[..rest.find(is_end).unwrap_or(rest.len())];
            let Some(secret) = template::secret_at(form, rest) else { continue };
            let value = &rest[secret.clone()];
            // The query is not part of the path.
            let value = &value[..value.find('?').unwrap_or(value.len())];
            value::scan(class, value, from + secret.start, secrets);
        }
    }
}

fn calls(text: &str, secrets: &mut Vec<Range<usize>>) {
    for &(start, form) in &*CALLS {
        for (at, _) in text.match_indices(start) {
            let from = at + start.len();
            let rest = &text[from..][..text[from..].floor_char_boundary(PATH_MAX)];
            let Some(secret) = template::secret_at(form, rest) else { continue };
            let argument = &rest[secret.clone()];
            let inner = argument.trim_start();
            let from = from + secret.start + argument.len() - inner.len();
            if start.ends_with(['"', '>']) {
                let word = inner.split_whitespace().next().unwrap_or(inner);
                value::scan(Class::Chosen, word, from, secrets);
            } else if inner.starts_with(['"', '\'', '\\']) {
                value::scan(Class::Secret, inner.trim_end(), from, secrets);
            }
        }
    }
}

/// Schemes that put a token where others have a user.
const TOKEN_SCHEMES: [&str; 8] = ["http", "https", "nats", "tls", "ws", "wss", "git+https", "dapr"];

/// `scheme://user:secret@host` (RFC 3986 section 3.2.1), and `user:secret@host` without a scheme.
fn user_info(text: &str, secrets: &mut Vec<Range<usize>>) {
    for run in runs(text) {
        let word = &text[run.clone()];
        let (scheme, start) = match word.find("://") {
            Some(end) => (Some(scheme_of(&word[..end])), end + 3),
            None => (None, 0),
        };
        if let Some(secret) = secret_of(scheme, &word[start..]) {
            let start = run.start + start;
            secrets.push(start + secret.start..start + secret.end);
        }
    }
}

fn scheme_of(text: &str) -> &str {
    let is_other = |letter: char| !(letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    text.rsplit(is_other).next().unwrap_or(text)
}

fn secret_of(scheme: Option<&str>, rest: &str) -> Option<Range<usize>> {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let at_sign = match authority.rfind('@') {
        Some(at_sign) => at_sign,
        // A secret with a slash in it is no valid URL and works in many clients all the same.
        None if scheme.is_some_and(|scheme| !scheme.starts_with("http")) && has_no_port(authority) => {
            rest.rfind('@')?
        }
        None => return None,
    };
    // `repository:tag@sha256:…` is an image.
    if rest[at_sign + 1..].starts_with("sha256:") || rest[at_sign + 1..].starts_with("sha512:") {
        return None;
    }
    let info = &rest[..at_sign];
    match (info.split_once(':'), scheme) {
        (Some(("mailto", _)), _) => None,
        (Some((user, secret)), _) if !secret.is_empty() && !value::is_reference(secret) => {
            Some(user.len() + 1..info.len())
        }
        (None, Some(scheme)) if TOKEN_SCHEMES.contains(&scheme) && !is_user(info) => Some(0..info.len()),
        _ => None,
    }
}

fn has_no_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name that a person or a service has, and no token: `git`, `deploy-bot`.
fn is_user(info: &str) -> bool {
    info.len() <= 20 && info.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_.".contains(&byte))
        || info.starts_with('$')
}

/// Stretches without white space, quotes and what else can't stand in a URL.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_end = |letter: char| letter.is_whitespace() || ['"', '\'', '<', '>', '|', '`'].contains(&letter);
    let mut start = 0;
    text.split(is_end).map(move |run| {
        let range = start..start + run.len();
        start = range.end + text[range.end..].chars().next().map_or(0, char::len_utf8);
        range
    })
}
