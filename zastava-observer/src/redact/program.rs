//! Programs that take secrets by options, operands and standard input without a telling name.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::name::Class;
use super::place::lines;
use super::{is_option, template, value};

/// The table of the programs; its head says how it is written.
const TABLE: &str = include_str!("programs.txt");

static PROGRAMS: LazyLock<HashMap<&'static str, Vec<Rule>>> = LazyLock::new(|| {
    let mut programs: HashMap<_, Vec<Rule>> = HashMap::new();
    for line in lines(TABLE) {
        let Some((names, rules)) = line.split_once(' ') else { continue };
        for name in names.split(',') {
            programs.entry(name).or_default().extend(rules.split(" ; ").map(rule));
        }
    }
    programs
});

/// One way in which a program takes a secret.
type Rule = Vec<Step>;

/// What a rule waits for.
#[derive(Clone)]
enum Step {
    /// One of these subcommands or options.
    Literal(Vec<&'static str>),
    /// An operand, or the value of the option in front.
    Other,
    /// A word in which the secret stands as the template says.
    Secret(&'static str),
    /// The program reads a secret from its standard input.
    Stdin(&'static str),
}

fn rule(text: &'static str) -> Rule {
    let step = |word: &'static str| match word {
        "_" => Step::Other,
        _ if word.starts_with('<') => Step::Stdin(&word[1..]),
        _ if word.contains('?') => Step::Secret(word),
        _ => Step::Literal(word.split(',').collect()),
    };
    text.split_whitespace().map(step).collect()
}

/// Follows a program's rules through its words.
pub(super) struct Reader {
    rules: Vec<Progress>,
}

struct Progress {
    rule: &'static Rule,
    at: usize,
    /// The word in front was the option whose value is next.
    is_value_next: bool,
}

impl Reader {
    /// The reader for the program of this file name, whatever its directory.
    pub(super) fn named(word: &str) -> Option<Self> {
        let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
        let bare =
            [".sh", ".exe", ".py", ".pl", ".bat", ".cmd"].iter().find_map(|end| name.strip_suffix(end));
        let rules = PROGRAMS.get(name).or_else(|| PROGRAMS.get(bare?))?;
        let start = |rule| Progress { rule, at: 0, is_value_next: false };
        Some(Self { rules: rules.iter().map(start).collect() })
    }

    /// Reads the next word; when its meaning is known, says where its value starts.
    pub(super) fn word(&mut self, word: &str, secrets: &mut Vec<Range<usize>>) -> Option<usize> {
        let is_option = is_option(word);
        if !is_option && self.rules.iter().any(|rule| rule.is_value_next) {
            for rule in &mut self.rules {
                match rule.step() {
                    _ if rule.is_value_next => rule.take(word, 0, secrets),
                    Some(Step::Literal(words)) if is_one_of(words, word) => rule.advance(),
                    _ => {}
                }
            }
            return Some(0);
        }
        let mut value_at = None;
        for rule in &mut self.rules {
            rule.give_up_value();
            value_at = value_at.max(rule.word(word, is_option, secrets));
        }
        value_at
    }

    /// The form of what the program reads from standard input, when that is a secret.
    pub(super) fn stdin(&self) -> Option<&'static str> {
        self.rules.iter().find_map(|progress| match progress.step() {
            Some(Step::Stdin(template)) => Some(*template),
            _ => None,
        })
    }
}

/// `*` stands for anything at the end of a word, and for other switches behind the hyphen: `curl -sSLu`.
fn is_one_of(words: &[&str], word: &str) -> bool {
    let begins = |start: &str| word.len() > start.len() && word.starts_with(start);
    let bundles = |last: &str| {
        let letters = word.strip_prefix('-').and_then(|letters| letters.strip_suffix(last));
        letters.is_some_and(|letters| letters.len() < 6 && letters.bytes().all(|b| b.is_ascii_alphabetic()))
    };
    words.iter().any(|other| {
        *other == word
            || other.strip_suffix('*').is_some_and(begins)
            || other.strip_prefix("-*").is_some_and(bundles)
    })
}

impl Progress {
    fn step(&self) -> Option<&'static Step> {
        self.rule.get(self.at)
    }

    /// Takes an operand or an option's value, which starts at `from` in its word.
    fn take(&mut self, word: &str, from: usize, secrets: &mut Vec<Range<usize>>) {
        if let Some(Step::Secret(template)) = self.step()
            && let Some(at) = template::secret_at(template, &word[from..])
        {
            value::scan(Class::Secret, &word[from..][at.clone()], from + at.start, secrets);
        }
        self.advance();
    }

    fn advance(&mut self) {
        self.is_value_next = false;
        self.at += 1;
        let begins_anywhere = match &self.rule[0] {
            Step::Literal(words) => is_option(words[0]),
            Step::Secret(template) => template::has_prefix(template),
            _ => false,
        };
        if self.at == self.rule.len() && begins_anywhere {
            self.at = 0;
        }
    }

    /// Where the value of one of these options starts in the same word: `--key=X`, `-pX`.
    fn value_at(&self, options: &[&str], word: &str) -> Option<usize> {
        let start = word.find('=').filter(|end| options.contains(&&word[..*end])).map(|end| end + 1);
        let is_attached =
            |option: &&&str| option.len() == 2 && word.strip_prefix(**option).is_some_and(value::is_chosen);
        let takes_secret = matches!(self.rule.get(self.at + 1), Some(Step::Secret(_)));
        start.or_else(|| options.iter().find(is_attached).filter(|_| takes_secret).map(|_| 2))
    }

    /// An option stands where the value of another was to come: `-p --host x` asks for the password.
    fn give_up_value(&mut self) {
        if self.is_value_next && matches!(self.step(), Some(Step::Secret(_))) {
            self.at -= 1;
        }
        self.is_value_next = false;
    }

    fn word(&mut self, word: &str, is_option: bool, secrets: &mut Vec<Range<usize>>) -> Option<usize> {
        match self.step()? {
            Step::Literal(words) if is_one_of(words, word) => {
                let next = self.rule.get(self.at + 1);
                self.advance();
                self.is_value_next = is_option && matches!(next, Some(Step::Other | Step::Secret(_)));
                (self.is_value_next || next.is_none()).then_some(word.len())
            }
            Step::Literal(words) if is_option => {
                let value_at = self.value_at(words, word)?;
                self.advance();
                self.take(word, value_at, secrets);
                Some(value_at)
            }
            Step::Secret(template) if template::has_prefix(template) || !is_option => {
                let found = secrets.len();
                if self.at > 0 && !template::has_prefix(template)
                    || template::secret_at(template, word).is_some()
                {
                    self.take(word, 0, secrets);
                }
                (secrets.len() > found).then_some(word.len())
            }
            Step::Other if !is_option => {
                self.advance();
                None
            }
            _ => None,
        }
    }
}
