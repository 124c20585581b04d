//! Removes secrets from command lines before they leave the node.
//!
//! People pass passwords as arguments, and an event goes to another machine. A secret is recognised by
//! the name beside it (`--db-password X`, `DB_PASSWORD=X`, `"password": "X"`), by its place (a URL, a header, a statement,
//! the options, operands and standard input of a known program), or by its own shape (`ghp_…`). Only the secret's
//! characters are replaced, so that the rest of the line still says what runs.
//!
//! This is a heuristic. Where it is unsure it removes too much rather than too little. What is known of programs and
//! services stands in the tables beside this module; the measured command lines are in `tests/data`.

mod name;
mod place;
mod program;
mod script;
mod shape;
mod sql;
mod template;
mod text;
mod value;

use std::ops::Range;

use self::name::Class;
use self::program::Reader;

/// Stands where a secret stood.
const MASK: &str = "…";

/// The words of a command line without their secrets.
#[must_use]
pub(crate) fn redact(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.into_iter().collect();
    let mut command = Command::of(words.iter().map(String::as_str), 0);
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
    /// The known programs among the words: `sudo` starts another one.
    programs: Vec<Reader>,
    /// The first word names a program and announces nothing.
    has_words: bool,
    /// An option names a user, so that `-p` beside it is not a port.
    has_user: bool,
    /// An option says that the secret comes by standard input.
    has_stdin: bool,
    /// A word is a secret's name, so that `--value` is the secret.
    has_secret_name: bool,
    /// The next word is the value of an option or name of this class.
    awaits: Option<Class>,
    /// The word in front.
    before: String,
    /// How many scripts this command stands in.
    depth: usize,
}

/// `sh -c 'sh -c "…"'`: more deeply nested scripts are read as text.
const DEPTH_MAX: usize = 4;
/// More known names than this among the words of one command are not all programs.
const PROGRAMS_MAX: usize = 4;

impl Command {
    /// The command with these words, of which none is read yet.
    fn of<'a>(words: impl Iterator<Item = &'a str>, depth: usize) -> Self {
        Self { depth, has_user: has_user(words), ..Self::default() }
    }

    /// Adds the byte ranges of the word's secrets.
    fn word(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) {
        let before = std::mem::replace(&mut self.before, word.to_owned());
        let awaited = self.awaits.take().filter(|_| !is_option(word));
        let known = self.programs.iter_mut().filter_map(|program| program.word(word, secrets)).max();
        if known.is_none() && !Self::is_value(awaited, word, secrets) {
            self.unknown(word, &before, secrets);
        }
        text::scan(word, known.unwrap_or(0), secrets);
    }

    /// The word is the value of the name or option in front, and nothing else.
    fn is_value(awaited: Option<Class>, word: &str, secrets: &mut Vec<Range<usize>>) -> bool {
        let found = secrets.len();
        let Some(class) = awaited else { return false };
        value::scan(class, word, 0, secrets);
        secrets.len() > found || class == Class::Secret
    }

    /// A word of which only its own form and the word in front tell what it is.
    fn unknown(&mut self, word: &str, before: &str, secrets: &mut Vec<Range<usize>>) {
        let found = secrets.len();
        value::scan_random(word, secrets);
        if self.has_words && !is_option(word) {
            value::scan_generated(word, secrets);
        }
        if secrets.len() > found && (name::is_open(before) || name::is_open(word)) {
            secrets.truncate(found);
        }
        if is_option(word) {
            self.option(word, secrets);
        } else {
            self.operand(word);
        }
        if word.contains(char::is_whitespace) && self.depth < DEPTH_MAX {
            match text::assigned(word).filter(|_| !is_script_option(before)) {
                Some(value) => value::scan(Class::Secret, &word[value.clone()], value.start, secrets),
                None => script::scan(word, self.depth + 1, secrets),
            }
        }
    }

    fn option(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) {
        if let Some(class) = word.get(..2).filter(|_| word.len() > 2).and_then(name::short_class) {
            let class = if class == Class::Owner { class } else { Class::Chosen };
            if self.has_user || class == Class::Owner {
                value::scan(class, &word[2..], 2, secrets);
            }
        }
        if self.has_secret_name && ["-v", "--value", "-value"].contains(&word) {
            self.awaits = Some(Class::Chosen);
            return;
        }
        self.has_stdin |= name::is_stdin(word);
        if !word.contains(['=', ' ']) {
            self.awaits = match name::class(word) {
                None if self.has_user => name::short_class(word),
                class => class,
            };
        }
    }

    fn operand(&mut self, word: &str) {
        if self.programs.len() < PROGRAMS_MAX {
            self.programs.extend(Reader::named(word));
        }
        if name::is_setting(word) {
            self.awaits = name::class(word);
        } else if self.has_words && name::is_compound(word) {
            self.awaits = name::class(word).map(|_| Class::Chosen);
        }
        self.has_secret_name |= self.has_words && name::class(word) == Some(Class::Secret);
        self.has_words = true;
    }

    /// The form of what the command reads from standard input, when that is a secret.
    fn stdin(&self) -> Option<&'static str> {
        let known = self.programs.iter().find_map(Reader::stdin);
        known.or_else(|| self.has_stdin.then_some("?"))
    }
}

/// What starts other programs; a user in its options is who they run as.
const STARTERS: &str = "sudo su runuser doas gosu setpriv chroot nsenter env docker podman nerdctl exec run compose \
    systemd-run systemd-nspawn start-stop-daemon supervisord pm2 strace";

/// An option names a user: `-u me`, `--username=me`.
fn has_user<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let mut is_value_next = false;
    let mut is_starter = false;
    for word in words {
        if !is_option(word) {
            if std::mem::take(&mut is_value_next) {
                return true;
            }
            is_starter = STARTERS.split_whitespace().any(|starter| word.rsplit('/').next() == Some(starter));
        } else if !is_starter {
            let (option, value) = word.split_once('=').unwrap_or((word, ""));
            is_value_next = name::is_user_option(option);
            if is_value_next && !value.is_empty() {
                return true;
            }
        }
    }
    false
}

/// `sh -ec`: the next word is a script and no pair.
fn is_script_option(word: &str) -> bool {
    word.len() < 6 && word.starts_with('-') && word.ends_with('c')
}

/// `-` alone is an operand; a secret may start with a hyphen, but a word behind a secret's name that
/// does is taken for the next option.
fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

#[cfg(test)]
mod tests;
