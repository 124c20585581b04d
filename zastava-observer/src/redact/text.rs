//! Secrets inside a word: pairs of name and value, wherever they stand.

use std::ops::Range;

use super::name::{self, Class};
use super::{place, shape, sql, value};

/// Adds the byte ranges of what the text's own structure shows to be secret, names only from `from` on.
pub(super) fn scan(text: &str, from: usize, secrets: &mut Vec<Range<usize>>) {
    shape::scan(text, secrets);
    place::scan(text, secrets);
    sql::scan(text, secrets);
    pairs(text, from, secrets);
    elements(text, secrets);
    substitution(text, secrets);
}

/// The length of a call in front of the text that it changes.
fn called(text: &str) -> Option<usize> {
    const FUNCTIONS: [&str; 7] = ["crypt", "hash", "password", "encode", "md5", "sha", "quote"];
    let end = text.find('(')? + 1;
    let function = text[..end].to_ascii_lowercase();
    let is_name = function.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:(".contains(&byte));
    let is_known = FUNCTIONS.iter().any(|known| function.contains(known));
    (is_name && is_known && text[end..].starts_with(['"', '\'', '\\'])).then_some(end)
}

/// `<password>X</password>`.
fn elements(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (open, _) in text.match_indices('<') {
        let mut parts = text[open + 1..].splitn(2, ['<', '>']);
        let (Some(tag), Some(rest)) = (parts.next(), parts.next()) else { return };
        let name = tag.split_whitespace().next().unwrap_or_default();
        let name = name.rsplit(':').next().unwrap_or(name);
        if let Some(class) = name::class(name).filter(|_| !name.starts_with('/')) {
            let value = rest.split('<').next().unwrap_or(rest);
            value::scan(class, value, open + tag.len() + 2, secrets);
        }
    }
}

/// `s/DB_PASSWORD/X/` of sed.
fn substitution(text: &str, secrets: &mut Vec<Range<usize>>) {
    let Some(rest) = text.strip_prefix('s') else { return };
    let Some(sign) = rest.chars().next().filter(char::is_ascii_punctuation) else { return };
    let mut parts = rest.split(sign).skip(1);
    if let (Some(name), Some(value)) = (parts.next(), parts.next())
        && name::class(name) == Some(Class::Secret)
    {
        value::scan(Class::Chosen, value, 3 + name.len(), secrets);
    }
}

/// The value of a word that is one pair although its value has spaces: `-Dgpg.passphrase=correct horse`.
pub(super) fn assigned(word: &str) -> Option<Range<usize>> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_plain = !value.contains(['=', ';', '|', '&', '/', '"', '\'', '\n', ':']);
    let is_secret = is_name && is_plain && name::class(name) == Some(Class::Secret);
    is_secret.then_some(name.len() + 1..word.len())
}

/// `name=value`, `name: value`, `"name": "value"`, `name => value`.
fn pairs(text: &str, from: usize, secrets: &mut Vec<Range<usize>>) {
    let mut quotes = Quotes::default();
    let mut end = from;
    for (separator, _) in text.match_indices(['=', ':']) {
        quotes.read(text, separator);
        if separator < end {
            continue;
        }
        let Some(name) = name_before(text, separator) else { continue };
        let Some(class) = name::class(name) else { continue };
        let is_colon = text.as_bytes()[separator] == b':';
        let Some(start) = value_start(text, separator, &quotes) else { continue };
        if is_colon && (class == Class::User || is_no_pair(text, separator, name)) {
            continue;
        }
        let has_gap = start > separator + 1;
        // `token:read` is a scope and `app.auth:api` an object in a module.
        let is_loose = is_colon && !has_gap && matches!(class, Class::Method | Class::Count);
        let class = if is_loose { Class::Chosen } else { class };
        let value = value_at(text, start, is_colon && has_gap && is_header(name));
        if is_colon && has_gap && is_prose(value, &text[start + value.len()..]) {
            continue;
        }
        let (value, start) = without_scheme(value, start);
        let found = secrets.len();
        value::scan(class, value, start, secrets);
        // A secret holds no further pairs, however many signs are in it.
        end = secrets[found..].last().map_or(end, |secret| secret.end);
    }
}

/// Which quotes are open, kept while a text is read once.
#[derive(Default)]
struct Quotes {
    at: usize,
    single: bool,
    double: bool,
}

impl Quotes {
    fn read(&mut self, text: &str, end: usize) {
        for byte in text[self.at..end].bytes() {
            self.single ^= byte == b'\'';
            self.double ^= byte == b'"';
        }
        self.at = end;
    }

    fn is_open(&self, quote: u8) -> bool {
        quote == b'\'' && self.single || quote == b'"' && self.double
    }
}

/// Where the value behind a separator starts; `token:` at the end of a word, `pass::x`, `https://`, and the volume
/// `secret:/run/secret` have none.
fn value_start(text: &str, separator: usize, quotes: &Quotes) -> Option<usize> {
    let is_colon = text.as_bytes()[separator] == b':';
    let mut start = separator + 1;
    let rest = &text[start..];
    // `=>` of Ruby, Perl and PHP, `:=` of make, `${NAME:-value}` of the shell.
    start += match (is_colon, rest.bytes().next()) {
        (false, Some(b'>')) | (true, Some(b'=')) => 1,
        (true, Some(b'-' | b'+')) if is_default(&text[..separator]) => 1,
        (true, Some(b'?')) => return None,
        _ => 0,
    };
    start += text[start..].len() - text[start..].trim_start().len();
    let rest = &text[start..];
    // `password => bcrypt('X')`.
    start += called(rest).unwrap_or(0);
    let rest = &text[start..];
    // The name and its colon are all that the quotes hold: `read -p 'Password: '`.
    if start > separator + 1 && rest.bytes().next().is_some_and(|first| quotes.is_open(first)) {
        return None;
    }
    let is_expression =
        [".*", ".+", "[^", "\\S", "\\w", "\\s", "(", "="].iter().any(|sign| rest.starts_with(sign));
    let is_path = is_colon && rest.starts_with([':', '/']);
    (!rest.is_empty() && !is_expression && !is_path).then_some(start)
}

/// The shell's `${NAME:` stands in front of a default.
fn is_default(before: &str) -> bool {
    let name = before.bytes().rev().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    before[..before.len() - name].ends_with("${")
}

/// The user of a URL and the end of a path are not the names of a pair: `/run/secrets:ro`.
fn is_no_pair(text: &str, separator: usize, name: &str) -> bool {
    text[..separator].strip_suffix(name).is_some_and(|before| before.len() > 1 && before.ends_with('/'))
}

/// `password: must be set` says something about a password.
fn is_prose(value: &str, rest: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_lowercase())
        && rest
            .strip_prefix(' ')
            .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_alphabetic()))
        && !rest.contains([':', '='])
}

/// The name that ends in front of a separator, without quotes.
fn name_before(text: &str, separator: usize) -> Option<&str> {
    // .NET joins the parts of a name by colons: `Jwt:Key=X`.
    let is_colon = text.as_bytes()[separator] == b':';
    let before = text[..separator].trim_end();
    let before = before.trim_end_matches(['"', '\'', '\\', ']']);
    let is_of_name = |letter: char| {
        letter.is_ascii_alphanumeric() || "_-.".contains(letter) || (letter == ':' && !is_colon)
    };
    let start = before
        .rfind(|letter| !is_of_name(letter))
        .map_or(0, |other| other + before[other..].chars().next().map_or(1, char::len_utf8));
    Some(&before[start..]).filter(|name| !name.is_empty())
}

fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("cookie") || name.ends_with("authorization")
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
        false => letter.is_whitespace() || ['&', ';', ',', '}', ']', '"', '\'', ')', '|'].contains(&letter),
    };
    &rest[..rest.find(ends).unwrap_or(rest.len())]
}

/// `Bearer X` and `Basic X` keep their first word (RFC 9110 section 11.4).
fn without_scheme(value: &str, at: usize) -> (&str, usize) {
    match value.split_once(' ') {
        Some((scheme, rest))
            if scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') && scheme.len() < 16 =>
        {
            (rest, at + scheme.len() + 1)
        }
        _ => (value, at),
    }
}
