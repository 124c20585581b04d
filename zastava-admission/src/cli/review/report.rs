//! Decisions in the forms that people and pipelines read.

mod json;
mod junit;
mod sarif;
mod table;

use clap::ValueEnum;

use super::super::decider::Answer;
use super::subject::Subject;

/// A subject and what became of it.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) subject: Subject,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Decided(Answer),
    /// Nobody was asked.
    HoldsNoPod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table, and what each object is told
    Text,
    /// Everything that is known, for programs
    Json,
    /// `JUnit` XML: an object is a test case, a denial its failure
    Junit,
    /// SARIF 2.1.0: denials are errors, warnings are warnings
    Sarif,
}

impl Format {
    pub(super) fn write(self, decided: &[Decided]) -> String {
        match self {
            Self::Text => table::write(decided),
            Self::Json => json::write(decided),
            Self::Junit => junit::write(decided),
            Self::Sarif => sarif::write(decided),
        }
    }
}

impl Outcome {
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Decided(answer) => Some(answer),
            Self::HoldsNoPod => None,
        }
    }

    fn word(&self) -> &'static str {
        self.answer().map_or("Skip", Answer::decision)
    }
}

impl Decided {
    /// `Deployment shop/web`
    fn object(&self) -> String {
        let Subject { kind, namespace, name, .. } = &self.subject;
        match namespace.as_str() {
            "" => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        }
    }
}

/// How many objects were allowed, denied, and skipped.
fn counts(decided: &[Decided]) -> [usize; 3] {
    ["Allow", "Deny", "Skip"].map(|word| decided.iter().filter(|one| one.outcome.word() == word).count())
}
