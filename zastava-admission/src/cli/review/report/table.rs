//! For a person.

use std::fmt::Write as _;

use zastava_core::program::Table;

use super::super::super::decider::Answer;
use super::{Decided, counts};

pub(super) fn write(decided: &[Decided]) -> String {
    let (of_files, of_images): (Vec<_>, Vec<_>) = decided.iter().partition(|one| one.subject.place.is_some());
    let mut out = String::new();
    for one in of_images {
        if let Some(answer) = one.outcome.answer() {
            _ = writeln!(out, "{} {}", answer.decision(), one.subject.name.escape_debug());
            told(answer, "  ", &mut out);
        }
    }
    if of_files.is_empty() {
        return out;
    }
    let mut table = Table::with_header(&["DECISION", "OBJECT", "FROM"]);
    for one in &of_files {
        table.row([one.outcome.word(), &one.object(), &place(one)]);
    }
    _ = write!(out, "{table}");
    for one in &of_files {
        if let Some(answer) = one.outcome.answer().filter(|answer| !is_silent(answer)) {
            _ = writeln!(out, "\n{} {}", answer.decision(), one.object().escape_debug());
            told(answer, "  ", &mut out);
        }
    }
    let [allowed, denied, skipped] = counts(decided);
    _ = writeln!(out, "\n{allowed} allowed, {denied} denied, {skipped} skipped: of a kind that holds no pod");
    out
}

fn place(one: &Decided) -> String {
    let place = one.subject.place.as_ref();
    place.map_or_else(String::new, |place| match &place.source {
        Some(source) => format!("{place} ({source})"),
        None => place.to_string(),
    })
}

fn is_silent(answer: &Answer) -> bool {
    answer.message().is_empty() && answer.warnings.is_empty()
}

fn told(answer: &Answer, indent: &str, out: &mut String) {
    if !answer.message().is_empty() {
        _ = writeln!(out, "{indent}{}", answer.message().escape_debug());
    }
    for warning in &answer.warnings {
        _ = writeln!(out, "{indent}Warning: {}", warning.escape_debug());
    }
}
