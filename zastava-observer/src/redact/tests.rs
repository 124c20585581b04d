//! The table of command lines, measured in both directions.

use super::{MASK, redact};

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
#[expect(clippy::print_stdout, reason = "the figures are what the table is for")]
fn secrets_are_masked_and_little_else() {
    let (exact, known) = TABLE.split_once(KNOWN).expect("the heading is there");
    let rows =
        |text: &'static str| text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row);
    for row in rows(exact) {
        assert_eq!(redact(row.words.clone()), row.redacted, "{:?}", row.words);
    }
    let (mut secrets, mut leaks, mut harmless, mut masked) = (0, 0, 0, 0);
    for row in rows(exact).chain(rows(known)) {
        let redacted = redact(row.words.clone());
        secrets += row.secrets.len();
        leaks +=
            row.secrets.iter().filter(|secret| redacted.iter().any(|word| word.contains(*secret))).count();
        if row.secrets.is_empty() {
            harmless += 1;
            masked += usize::from(redacted != row.words);
        }
    }
    println!(
        "{} of {secrets} secrets masked, {masked} of {harmless} harmless lines changed",
        secrets - leaks
    );
    assert!(secrets + harmless >= 150);
    assert!(leaks * 100 <= secrets * 2, "{leaks} of {secrets} secrets leak");
    assert!(masked * 100 <= harmless * 3, "{masked} of {harmless} harmless lines changed");
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
