//! Shell scripts inside a word: the commands in them, and what one command hands to the next.

use std::ops::Range;

use super::name::Class;
use super::value::unquoted;
use super::{Command, name, template, value};

/// Adds the secrets of a word of several words: a shell's script, or something else in which commands stand.
pub(super) fn scan(text: &str, depth: usize, secrets: &mut Vec<Range<usize>>) {
    let mut pipe = Pipe::default();
    let mut words = Vec::new();
    for token in tokens(text).into_iter().chain([Token::End('\n')]) {
        match token {
            Token::Word(range) => words.push(range),
            Token::End(end) => {
                pipe.command(text, &words, depth, secrets);
                pipe.end(end, words.is_empty());
                words.clear();
            }
        }
    }
}

/// What the commands in front have written for the next one to read.
#[derive(Default)]
struct Pipe {
    said: Vec<Range<usize>>,
    /// The form of the secrets that a command of this line reads.
    form: Option<&'static str>,
    /// The word that ends the lines below, which a command of this line reads.
    here: Option<String>,
    is_here: bool,
    depth: usize,
    before: char,
}

impl Pipe {
    fn command(&mut self, text: &str, words: &[Range<usize>], depth: usize, secrets: &mut Vec<Range<usize>>) {
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
        if self.is_here {
            self.is_here = self.here.as_deref() != Some(&text[first.clone()]);
            match self.form.filter(|_| self.is_here) {
                Some(form) => hide(form, text, first.start..last.end, secrets),
                None => self.here = None,
            }
            return;
        }
        let mut command = Command::of(words.iter().map(|word| &text[word.clone()]), depth);
        for range in words {
            let found = secrets.len();
            command.word(&text[range.clone()], secrets);
            secrets[found..].iter_mut().for_each(|secret| {
                *secret = secret.start + range.start..secret.end + range.start;
            });
        }
        self.here = here_document(text, words).or_else(|| self.here.take());
        if let Some(form) = command.stdin() {
            self.form = Some(form);
            self.said.extend(here_string(text, words));
            self.said.drain(..).for_each(|said| hide(form, text, said, secrets));
        }
        if ["echo", "printf"].contains(&&text[first.clone()]) {
            self.echo(text, &words[1..], secrets);
        }
    }

    /// What is written goes to a file with a secret's name, or to the next command.
    fn echo(&mut self, text: &str, words: &[Range<usize>], secrets: &mut Vec<Range<usize>>) {
        let operands = words.iter().filter(|word| {
            let word = &text[(*word).clone()];
            !word.starts_with('-') || word.len() > 3
        });
        let mut operands = operands.take_while(|word| !text[(*word).clone()].starts_with('>'));
        let target = words.last().filter(|last| text[..last.start].trim_end().ends_with('>'));
        let file = target.map(|target| text[target.clone()].rsplit('/').next().unwrap_or_default());
        match file.and_then(name::class) {
            Some(Class::Secret) => operands.by_ref().for_each(|word| {
                value::scan(Class::Chosen, &text[word.clone()], word.start, secrets);
            }),
            _ => self.said.extend(operands.cloned()),
        }
    }

    /// `(echo a; echo b) | reader` reads both.
    fn end(&mut self, end: char, is_empty: bool) {
        match end {
            '(' => self.depth += 1,
            ')' => self.depth = self.depth.saturating_sub(1),
            '|' if !is_empty || self.before == ')' => {}
            _ if self.depth == 0 => self.said.clear(),
            _ => {}
        }
        if end == '\n' && !self.is_here {
            self.is_here = self.here.is_some() && self.form.is_some();
            if !self.is_here {
                (self.form, self.here) = (None, None);
            }
        }
        self.before = end;
    }
}

fn hide(form: &str, text: &str, said: Range<usize>, secrets: &mut Vec<Range<usize>>) {
    let line = &text[said.clone()];
    let line = line.strip_suffix("\\n").unwrap_or(line);
    if let Some(at) = template::secret_at(form, line).filter(|at| !line[at.clone()].starts_with('%')) {
        value::scan(Class::Secret, &line[at.clone()], said.start + at.start, secrets);
    }
}

/// The text of `reader <<< text`.
fn here_string(text: &str, words: &[Range<usize>]) -> Option<Range<usize>> {
    let position = words.iter().position(|word| text[word.clone()].starts_with("<<<"))?;
    let word = &words[position];
    match text[word.clone()].len() {
        3 => words.get(position + 1).cloned(),
        _ => {
            let (inner, at) = unquoted(&text[word.start + 3..word.end], word.start + 3);
            Some(at..at + inner.len())
        }
    }
}

/// The word that ends the lines of `reader <<END`.
fn here_document(text: &str, words: &[Range<usize>]) -> Option<String> {
    let position = words
        .iter()
        .position(|word| text[word.clone()].starts_with("<<") && !text[word.clone()].starts_with("<<<"))?;
    let end = text[words[position].clone()].trim_start_matches(['<', '-']);
    let end = if end.is_empty() { &text[words.get(position + 1)?.clone()] } else { end };
    Some(end.trim_matches(['"', '\'']).to_owned())
}

/// A part of a script.
enum Token {
    /// A word, without quotes around it.
    Word(Range<usize>),
    /// A command ends here, with this character.
    End(char),
}

/// Words and ends of commands, as a shell would see them as far as secrets go.
fn tokens(text: &str) -> Vec<Token> {
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
            None if letter.is_whitespace() && letter != '\n' => finish(&mut start, at, &mut tokens),
            None if [';', '|', '(', ')', '\n', '&'].contains(&letter)
                && !is_in_value(text, start, letter) =>
            {
                finish(&mut start, at, &mut tokens);
                tokens.push(Token::End(letter));
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
