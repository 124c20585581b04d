//! Secrets inside a word: pairs of name and value, URLs, headers.

use std::ops::Range;

use super::name::{self, Class};
use super::value::unquoted;
use super::{shape, value};

/// Adds the byte ranges of what the text's own structure shows to be secret; the text stands at `at`.
pub(super) fn scan(text: &str, at: usize, secrets: &mut Vec<Range<usize>>) {
    shape::scan(text, at, secrets);
    pairs(text, at, secrets);
    user_info(text, at, secrets);
}

/// `name=value`, `name: value`, `"name": "value"`, wherever they stand.
fn pairs(text: &str, at: usize, secrets: &mut Vec<Range<usize>>) {
    for (separator, _) in text.match_indices(['=', ':']) {
        let Some(name) = name_before(text, separator) else { continue };
        let is_colon = text.as_bytes()[separator] == b':';
        let Some(class) = name::class(name) else { continue };
        let gap = &text[separator + 1..];
        let start = separator + 1 + (gap.len() - gap.trim_start().len());
        // The user of a URL is not the name of a pair.
        if is_colon && text[..separator].ends_with(&format!("/{name}")) {
            continue;
        }
        // `token:` at the end of a word, `pass::x`, `https://`, and the volume `secret:/run/secret`.
        if start == text.len() || (is_colon && text[start..].starts_with([':', '/'])) {
            continue;
        }
        if is_colon && class == Class::User {
            continue;
        }
        let value = value_at(text, start, is_colon && start > separator + 1 && is_header(name));
        let (value, start) = without_scheme(value, start);
        value::scan(class, value, at + start, secrets);
    }
}

/// The name that ends in front of a separator, without quotes.
fn name_before(text: &str, separator: usize) -> Option<&str> {
    let before = text[..separator].trim_end();
    let before = before.trim_end_matches(['"', '\'', '\\']);
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let start = before
        .rfind(|letter| !is_of_name(letter))
        .map_or(0, |other| other + before[other..].chars().next().map_or(1, char::len_utf8));
    Some(&before[start..]).filter(|name| !name.is_empty())
}

fn is_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("cookie") || name.to_ascii_lowercase().ends_with("authorization")
}

/// A value ends with its quotes, else at white space or at what separates pairs in a query, a list or a connection string.
/// A header's value is the rest of its line.
fn value_at(text: &str, start: usize, is_header: bool) -> &str {
    let rest = &text[start..];
    let escaped =
        rest.strip_prefix("\\\"").map(|inner| inner.find("\\\"").map_or(rest, |end| &rest[..end + 4]));
    if let Some(value) = escaped {
        return value;
    }
    if let Some(quote) = rest.chars().next().filter(|first| ['"', '\''].contains(first)) {
        return rest[1..].find(quote).map_or(rest, |end| &rest[..end + 2]);
    }
    let ends = |letter: char| match is_header {
        true => ['\n', '\r', '"', '\''].contains(&letter),
        false => letter.is_whitespace() || ['&', ';', ',', '}', '"', '\'', ')', '|'].contains(&letter),
    };
    &rest[..rest.find(ends).unwrap_or(rest.len())]
}

/// `Bearer X` and `Basic X` keep their first word (RFC 9110 section 11.4).
fn without_scheme(value: &str, at: usize) -> (&str, usize) {
    match value.split_once(' ') {
        Some((scheme, rest))
            if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) && scheme.len() < 16 =>
        {
            (rest, at + scheme.len() + 1)
        }
        _ => (value, at),
    }
}

/// `scheme://user:secret@host` (RFC 3986 section 3.2.1), and `user:secret@host` without a scheme.
fn user_info(text: &str, at: usize, secrets: &mut Vec<Range<usize>>) {
    for run in runs(text) {
        let word = &text[run.clone()];
        let (scheme, start) = match word.find("://") {
            Some(end) => (Some(scheme_of(&word[..end])), end + 3),
            None => (None, 0),
        };
        if let Some(secret) = secret_of(scheme, &word[start..]) {
            let start = at + run.start + start;
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
        (Some((user, secret)), _) if !secret.is_empty() && !secret.starts_with('$') => {
            Some(user.len() + 1..info.len())
        }
        (None, Some("http" | "https")) if !is_user(info) => Some(0..info.len()),
        (None, None) => None,
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

/// A part of a script.
pub(super) enum Token {
    /// A word, without quotes around it.
    Word(Range<usize>),
    /// A command ends here.
    End,
}

/// Words and ends of commands, as a shell would see them as far as secrets go.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = None;
    let mut quote = None;
    let finish = |start: &mut Option<usize>, end: usize, tokens: &mut Vec<Token>| {
        if let Some(start) = start.take() {
            let word = &text[start..end];
            let (inner, at) = unquoted(word, start);
            tokens.push(Token::Word(at..at + inner.len()));
        }
    };
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if letter.is_whitespace() => finish(&mut start, at, &mut tokens),
            None if [';', '|', '(', ')', '\n', '&'].contains(&letter)
                && !is_in_value(text, start, letter) =>
            {
                finish(&mut start, at, &mut tokens);
                tokens.push(Token::End);
            }
            None => {
                start = start.or(Some(at));
                if ['"', '\''].contains(&letter) {
                    quote = Some(letter);
                }
            }
        }
    }
    finish(&mut start, text.len(), &mut tokens);
    tokens
}

/// `&` joins the pairs of a URL's query and `;` those of a connection string.
fn is_in_value(text: &str, start: Option<usize>, letter: char) -> bool {
    letter != '('
        && letter != ')'
        && start.is_some_and(|start| text[start..].starts_with("jdbc:") || text[start..].starts_with("http"))
}
