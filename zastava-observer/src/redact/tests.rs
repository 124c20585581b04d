//! The table of command lines, measured in both directions.

use super::{MASK, place, redact, template};

const TABLE: &str = include_str!("../../tests/data/command-lines.txt");
/// The rows behind this heading are wrong today. They count in the figures.
const KNOWN: &str = "## Known to be wrong";

/// A command line with the secrets that it holds.
struct Row {
    words: Vec<String>,
    redacted: Vec<String>,
    secrets: Vec<String>,
}

/// `«…»` marks a secret, `␣` a space inside a word, `⏎` a line break.
fn row(line: &str) -> Row {
    let words = |text: &str| text.split(' ').map(|word| word.replace('␣', " ").replace('⏎', "\n")).collect();
    let marked = line.split('«').skip(1).filter_map(|rest| rest.split_once('»'));
    let secrets = marked.map(|(secret, _)| secret.replace('␣', " ")).collect();
    let mut redacted = String::new();
    for (index, part) in line.split('«').enumerate() {
        let rest = if index == 0 { part } else { part.split_once('»').expect("a closing mark").1 };
        redacted += if index == 0 { "" } else { MASK };
        redacted += rest;
    }
    Row { words: words(&line.replace(['«', '»'], "")), redacted: words(&redacted), secrets }
}

#[test]
fn secrets_are_masked_and_little_else() {
    let (exact, known) = TABLE.split_once(KNOWN).expect("the heading is there");
    let rows =
        |text: &'static str| text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row);
    for row in rows(exact) {
        assert_eq!(redact(row.words.clone()), row.redacted, "{:?}", row.words);
    }
    let mut figures = Figures::default();
    for row in rows(exact).chain(rows(known)) {
        figures.add(&row.words, &row.secrets);
    }
    figures.hold();
}

/// Rows by people who had not read this module, and siblings of their kinds: `secret` or `harmless`, the words as JSON,
/// and the secrets. Nothing was mended after the rows of `blind-command-lines.tsv`.
const FOREIGN: [&str; 3] = [
    include_str!("../../tests/data/foreign-command-lines.tsv"),
    include_str!("../../tests/data/sibling-command-lines.tsv"),
    include_str!("../../tests/data/blind-command-lines.tsv"),
];

#[test]
fn secrets_of_foreign_command_lines_are_masked_and_little_else() {
    for table in FOREIGN {
        let mut figures = Figures::default();
        for line in table.lines() {
            let [kind, words, secrets] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not three fields: {line}")
            };
            let words: Vec<String> = serde_json::from_str(words).expect("a list of words");
            let secrets: Vec<String> = secrets.split(" | ").map(str::to_owned).collect();
            figures.add(&words, if kind == "secret" { &secrets } else { &[] });
        }
        figures.hold();
    }
}

/// How much of what is to be masked is masked, and how much else.
#[derive(Default)]
struct Figures {
    secrets: usize,
    leaks: usize,
    harmless: usize,
    changed: usize,
}

impl Figures {
    #[expect(clippy::print_stdout, reason = "rows that are wrong are known by their print")]
    fn add(&mut self, words: &[String], secrets: &[String]) {
        let redacted = redact(words.to_vec());
        let is_leak = |secret: &&String| redacted.iter().any(|word| word.contains(*secret));
        let leaks = secrets.iter().filter(is_leak).count();
        let changed = usize::from(secrets.is_empty() && redacted != words);
        if leaks + changed > 0 {
            println!("{words:?}\n became {redacted:?}");
        }
        self.secrets += secrets.len();
        self.leaks += leaks;
        self.harmless += usize::from(secrets.is_empty());
        self.changed += changed;
    }

    #[expect(clippy::print_stdout, reason = "the figures are what the tables are for")]
    fn hold(&self) {
        let Self { secrets, leaks, harmless, changed } = self;
        println!(
            "{} of {secrets} secrets masked, {changed} of {harmless} harmless lines changed",
            secrets - leaks
        );
        assert!(secrets + harmless >= 150);
        assert!(leaks * 100 <= secrets * 2, "{leaks} of {secrets} secrets leak");
        assert!(changed * 100 <= harmless * 3, "{changed} of {harmless} harmless lines changed");
    }
}

#[test]
fn any_words_are_read_in_bounded_depth() {
    for word in
        ["'", "\"", "a 'b \"c", "« »", "a b='c d='e f='g", "…=…", "-", "--", "=", ":", "@", "://@", "a://:@"]
    {
        let line = vec![word.to_owned(), word.repeat(200), word.to_owned()];
        assert_eq!(redact(line).len(), 3);
    }
}

/// A line of the table that is not read as one would have no effect and no error.
#[test]
fn every_way_of_a_program_takes_something() {
    for line in place::lines(include_str!("programs.txt")) {
        let (names, ways) = line.split_once(' ').expect("names and ways");
        assert!(!names.contains(['?', '<', ';']), "{line}");
        for way in ways.split(" ; ") {
            assert!(way.contains(['?', '_']) || way.starts_with('-'), "{way} of {line} takes nothing");
            assert!(!way.contains(';') && way.trim() == way, "{way} of {line}");
        }
    }
}

#[test]
fn a_template_says_where_the_secret_stands() {
    for (template, text, secret) in [
        ("?", "abc", Some("abc")),
        ("_:?", "me:abc", Some("abc")),
        ("_:?", "me", None),
        ("_:_:?", "hmac:key:abc", Some("abc")),
        ("_/?@", "me/abc@db", Some("abc")),
        ("_/?@", "me/@db", None),
        ("-p?", "-pabc", Some("abc")),
        ("-p?", "-p", None),
        ("-p?", "-qabc", None),
        ("_,?)", "'ü','ß')", Some("'ß'")),
    ] {
        let found = template::secret_at(template, text).map(|at| &text[at]);
        assert_eq!(found, secret, "{template} in {text}");
    }
}
