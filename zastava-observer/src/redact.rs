//! Removes secrets from command lines before they leave the node.
//!
//! People pass passwords as arguments, and an event goes to another machine. A secret is recognised by
//! the name beside it (`--db-password X`, `DB_PASSWORD=X`, `"password": "X"`), by its place in a URL, a header
//! or the options of a known program (`mysql -pX`), or by its own shape (`ghp_…`). Only the secret's
//! characters are replaced, so that the rest of the line still says what runs.
//!
//! This is a heuristic. Where it is unsure it removes too much rather than too little. The measured table is
//! `tests/data/command-lines.txt`.

mod name;
mod program;
mod shape;
mod text;
mod value;

use std::ops::Range;

use self::name::Class;
use self::program::Program;

/// Stands where a secret stood.
const MASK: &str = "…";

/// The words of a command line without their secrets.
#[must_use]
pub(crate) fn redact(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut command = Command::default();
    words
        .into_iter()
        .map(|word| {
            let mut secrets = Vec::new();
            command.word(&word, &mut secrets);
            masked(word, secrets)
        })
        .collect()
}

fn masked(word: String, mut secrets: Vec<Range<usize>>) -> String {
    if secrets.is_empty() {
        return word;
    }
    secrets.sort_by_key(|secret| (secret.start, secret.end));
    let mut out = String::with_capacity(word.len());
    let mut end = 0;
    for secret in secrets {
        if secret.start >= end {
            out.push_str(&word[end..secret.start]);
            out.push_str(MASK);
        }
        end = end.max(secret.end);
    }
    out.push_str(&word[end..]);
    out
}

/// One command while its words are read from left to right.
#[derive(Default)]
struct Command {
    program: Option<&'static Program>,
    /// The first word names a program and announces nothing.
    has_words: bool,
    /// The next word is the value of an option or name of this class.
    awaits: Option<Class>,
    /// The secret is the operand that follows so many others.
    operands_left: Option<usize>,
    /// How many scripts this command stands in.
    depth: usize,
}

/// `sh -c 'sh -c "…"'`: more deeply nested scripts are read as text.
const DEPTH_MAX: usize = 4;

impl Command {
    /// Adds the byte ranges of the word's secrets.
    fn word(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) {
        if let Some(class) = self.awaits.take()
            && !is_option(word)
        {
            let found = secrets.len();
            value::scan(class, word, 0, secrets);
            // `config set --secret dbPassword X`
            if name::is_compound(word) {
                self.awaits = name::class(word);
            }
            if secrets.len() > found || class == Class::Secret {
                return;
            }
        }
        if self.known_option(word, secrets) {
            return;
        }
        if !word.starts_with('-') {
            self.operand(word, secrets);
        } else if !word.contains(['=', ' ']) {
            self.awaits = name::class(word);
        }
        if let Some(count) = self.program.and_then(|program| program.operands_after(word)) {
            self.operands_left = Some(count);
            self.awaits = None;
        }
        text::scan(word, 0, secrets);
        if word.contains(char::is_whitespace) && self.depth < DEPTH_MAX {
            script(word, self.depth + 1, secrets);
        }
    }

    /// An option by which a known program takes a secret.
    fn known_option(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) -> bool {
        let Some((class, value_at)) = self.program.and_then(|program| program.option(word)) else {
            return false;
        };
        match value_at {
            Some(at) => value::scan(class, &word[at..], at, secrets),
            None => self.awaits = Some(class),
        }
        true
    }

    fn operand(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) {
        if let Some(left) = self.operands_left.take() {
            match left {
                0 => value::scan(Class::Secret, word, 0, secrets),
                _ => self.operands_left = Some(left - 1),
            }
        }
        if let Some(at) = self.program.and_then(|program| program.operand_secret_at(word)) {
            secrets.push(at);
        }
        self.program = self.program.or_else(|| Program::named(word));
        if self.has_words && (name::is_setting(word) || name::is_compound(word)) {
            self.awaits = name::class(word);
        }
        self.has_words = true;
    }
}

/// `-` alone is an operand; a secret may start with a hyphen, but a word behind a secret's name that
/// does is taken for the next option.
fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// A word of several words: a shell's script, or something else in which commands stand.
fn script(text: &str, depth: usize, secrets: &mut Vec<Range<usize>>) {
    let begin = || Command { depth, ..Command::default() };
    let mut command = begin();
    for token in text::tokens(text) {
        match token {
            text::Token::End => command = begin(),
            text::Token::Word(range) => {
                let found = secrets.len();
                command.word(&text[range.clone()], secrets);
                secrets[found..].iter_mut().for_each(|secret| {
                    *secret = secret.start + range.start..secret.end + range.start;
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
