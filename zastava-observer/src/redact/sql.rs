//! Secrets in statements of databases, where no sign stands between the name and the value.

use std::ops::Range;

use super::name::Class;
use super::value;

/// What may stand between `IDENTIFIED` or `PASSWORD` and the secret.
const FILLERS: &str = "by as with via using to from is values password = set for";
/// A statement that gives somebody a password names one of these.
const SUBJECTS: [&str; 6] = ["user", "role", "login", "password for", "identified", "database link"];
/// No statement has more words and literals between the name and the secret.
const STEPS_MAX: usize = 8;

/// Adds the secrets behind `IDENTIFIED … BY` and `PASSWORD`.
pub(super) fn scan(text: &str, secrets: &mut Vec<Range<usize>>) {
    let lower = text.to_ascii_lowercase();
    if !SUBJECTS.iter().any(|subject| lower.contains(subject)) {
        return;
    }
    // `machine h login me password X` (netrc) is no SQL and read alike.
    let is_netrc = lower.contains("machine ") && lower.contains("login ");
    for (at, keyword) in lower.match_indices("identified").chain(lower.match_indices("password")) {
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        let end = at + keyword.len();
        let (before, after) = (lower.as_bytes()[..at].last(), lower.as_bytes().get(end));
        if !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word) {
            let is_identified = keyword == "identified";
            Statement { text, lower: &lower, at: end, is_identified, takes_word: is_netrc }.read(secrets);
        }
    }
}

/// A statement behind its keyword.
struct Statement<'a> {
    text: &'a str,
    lower: &'a str,
    at: usize,
    is_identified: bool,
    /// A word without quotes is the secret: Oracle's `IDENTIFIED BY tiger`.
    takes_word: bool,
}

impl Statement<'_> {
    /// Reads on until the secret, or until something shows that there is none.
    fn read(&mut self, secrets: &mut Vec<Range<usize>>) {
        let mut names_user = false;
        for _ in 0..STEPS_MAX {
            let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '(']);
            self.at = self.text.len() - rest.len();
            if let Some((inner, end)) = literal(rest) {
                // `FOR 'user'@'host' = 'secret'` names the user first.
                if !std::mem::take(&mut names_user) {
                    value::scan(Class::Secret, &rest[inner.clone()], self.at + inner.start, secrets);
                }
                let host =
                    rest[end..].strip_prefix('@').map(|host| literal(host).map_or(1, |(_, end)| end + 1));
                self.at += end + host.unwrap_or(0);
                continue;
            }
            let is_end = |letter: char| letter.is_whitespace() || ";,()'\"\\".contains(letter);
            let len = rest.find(is_end).unwrap_or(rest.len());
            let word = &self.lower[self.at..self.at + len];
            let is_filler = FILLERS.split_whitespace().any(|filler| filler == word);
            if self.takes_word && len > 0 && !is_filler {
                value::scan(Class::Secret, &rest[..len], self.at, secrets);
                return;
            }
            // `IDENTIFIED WITH plugin BY`
            if len == 0 || !(is_filler || self.is_identified) {
                return;
            }
            names_user = word == "for";
            self.takes_word |= self.is_identified && word == "by";
            self.at += len;
        }
    }
}

/// The inside of the quoted text at the start, and where the quotes end.
fn literal(text: &str) -> Option<(Range<usize>, usize)> {
    const QUOTES: [(&str, &str); 7] =
        [("'", "'"), ("\\'", "\\'"), ("\\\"", "\\\""), ("\"", "\""), ("$$", "$$"), ("N'", "'"), ("E'", "'")];
    QUOTES.iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?;
        let end = open.len() + inner.find(close)?;
        Some((open.len()..end, end + close.len()))
    })
}
