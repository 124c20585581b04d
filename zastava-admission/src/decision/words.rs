//! The words for a judgement: message, warnings, audit annotations.
//!
//! Nothing is decided here: the same judgement of the same images always gives the same words.

use std::collections::BTreeMap;

use crate::assessment::{AssessedObject, Assessment};
use crate::candidate::Candidate;
use crate::judgement::{Effect, Grounds, Judgement};
use crate::review::Head;
use crate::text::{name, printable};
use crate::verdict::{Level, Rule};

/// The API server cuts a longer warning.
const WARNING_LENGTH_MAX: usize = 256;
const MESSAGE_LENGTH_MAX: usize = 1024;
const ANNOTATION_LENGTH_MAX: usize = 512;
/// A review's uid is a UUID of 36 characters.
const ID_LENGTH_MAX: usize = 64;
/// The longest name of a namespace.
const NAMESPACE_LENGTH_MAX: usize = 63;
/// Images that a text names. The decision line names them all.
const IMAGES_NAMED_MAX: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Words {
    /// Why the object is denied.
    pub(super) message: Option<String>,
    /// At most two: one for `warn` verdicts, one for a denial that is not enforced or a namespace that
    /// fails open.
    pub(super) warnings: Vec<String>,
    /// For the audit log and the decision line.
    pub(super) annotations: BTreeMap<&'static str, String>,
}

impl Words {
    pub(super) fn new(assessment: &Assessment<'_>, judgement: Judgement, head: &Head) -> Self {
        let mut words = Self::default();
        let warned = at_level(assessment, Level::Warn);
        if !warned.is_empty() {
            words.warn(&format!("zastava: {}", list(&warned)));
        }
        let excused: Vec<_> = warned.into_iter().filter(|image| image.is_excused()).collect();
        if !excused.is_empty() {
            words.annotate("kept", &list(&excused));
        }
        if assessment.is_relabelled() {
            words.annotate("relabelled", "no verdict was asked for the new labels");
        }
        let Some(Complaint { rule, text: complaint, advice }) = complaint(assessment, judgement.grounds)
        else {
            return words;
        };
        let namespace = name(&head.namespace, NAMESPACE_LENGTH_MAX);
        // The decision line has the same id, wherever logs are kept.
        let id = format!("Decision {}.", name(&head.uid, ID_LENGTH_MAX));
        words.annotations.insert("rule", rule.to_string());
        match judgement.effect {
            Effect::Deny => {
                let closed = match judgement.grounds {
                    Grounds::NoVerdict(_) => format!("; namespace {namespace} fails closed"),
                    _ => String::new(),
                };
                let text = format!("zastava: {complaint}{closed}.");
                words.message = Some(with_end(&text, &format!("{advice} {id}"), MESSAGE_LENGTH_MAX));
            }
            Effect::WouldDeny { warn } => {
                words.annotate("wouldDeny", &complaint);
                if warn {
                    let text = format!("zastava: would be denied if it were enforced: {complaint}.");
                    words.warnings.push(with_end(&text, &id, WARNING_LENGTH_MAX));
                }
            }
            Effect::Allow => {
                words.annotate("failOpen", &complaint);
                let text = format!(
                    "zastava: allowed without a verdict, namespace {namespace} fails open: {complaint}."
                );
                words.warnings.push(with_end(&text, &id, WARNING_LENGTH_MAX));
            }
        }
        words
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(printable(text, WARNING_LENGTH_MAX));
    }

    fn annotate(&mut self, name: &'static str, text: &str) {
        self.annotations.insert(name, printable(text, ANNOTATION_LENGTH_MAX));
    }
}

/// What is wrong with the images on which the judgement rests, or with the refused object.
struct Complaint {
    /// The rule of the first.
    rule: Rule,
    text: String,
    /// What the user can do.
    advice: &'static str,
}

fn complaint(assessment: &Assessment<'_>, grounds: Grounds) -> Option<Complaint> {
    if let AssessedObject::Refused(verdict) = &assessment.object {
        let rule = verdict.rule;
        return Some(Complaint { rule, text: verdict.complaint(), advice: rule.advice() });
    }
    let blocking = match grounds {
        Grounds::Passed | Grounds::Warned => return None,
        Grounds::NoVerdict(_) => at_level(assessment, Level::Unknown),
        Grounds::Unjudged => at_level(assessment, Level::Unjudged),
        Grounds::Failed => at_level(assessment, Level::Fail),
    };
    let first = blocking.first()?;
    Some(Complaint { rule: first.rule(), text: list(&blocking), advice: first.advice() })
}

fn at_level<'a>(assessment: &'a Assessment<'_>, level: Level) -> Vec<&'a Candidate<'a>> {
    assessment.candidates().iter().filter(|candidate| candidate.level() == level).collect()
}

fn list(images: &[&Candidate<'_>]) -> String {
    let mut named: Vec<_> = images.iter().take(IMAGES_NAMED_MAX).map(|image| image.complaint()).collect();
    if images.len() > IMAGES_NAMED_MAX {
        named.push(format!("and {} more", images.len() - IMAGES_NAMED_MAX));
    }
    named.join(", ")
}

/// The complaint and the end. A long text loses the last of its complaint, never the end.
fn with_end(complaint: &str, end: &str, length_max: usize) -> String {
    format!("{} {end}", printable(complaint, length_max.saturating_sub(end.chars().count() + 1)))
}
