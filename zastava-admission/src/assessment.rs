//! What is known of a review's object before it is judged.

use std::time::Duration;

use zastava_core::image::Digest;

use crate::candidate::Candidate;
use crate::judgement::{FailureMode, Grounds, Judgement};
use crate::policy::Origin;
use crate::verdict::{Level, Rule, Verdict};

/// A review's object with everything that its judgement depends on.
#[derive(Debug)]
pub(crate) struct Assessment<'r> {
    pub(crate) object: AssessedObject<'r>,
    /// Of a pod's spec.
    pub(crate) pod_spec_digest: Option<Digest>,
}

#[derive(Debug)]
pub(crate) enum AssessedObject<'r> {
    /// A pod or template, with what is known about each image.
    Images(Vec<Candidate<'r>>),
    /// An update that leaves every image as it was.
    Unchanged {
        /// Whether labels that a policy source is sent have changed.
        relabelled: bool,
    },
    /// Nothing that could run an image; why.
    NoImages(&'static str),
    /// Refused as a whole.
    Refused(Verdict),
}

/// What decided a review: the label `source` of metrics, and an annotation of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecidedBy {
    /// Verdicts that were remembered.
    Cache,
    /// Verdicts of which at least one was asked for.
    Backend,
    /// An update that left the images alone.
    Unchanged,
    /// No verdict, in a namespace that fails open.
    FailOpen,
    /// No verdict, in a namespace that fails closed.
    FailClosed,
    /// No verdict, because too many reviews were waiting.
    Overload,
    /// The review's own text.
    Rule,
}

impl Assessment<'_> {
    pub(crate) fn candidates(&self) -> &[Candidate<'_>] {
        match &self.object {
            AssessedObject::Images(candidates) => candidates,
            _ => &[],
        }
    }

    /// The levels of all verdicts on the object.
    pub(crate) fn levels(&self) -> impl Iterator<Item = Level> {
        let refusal = match &self.object {
            AssessedObject::Refused(verdict) => Some(verdict.level),
            _ => None,
        };
        self.candidates().iter().map(Candidate::level).chain(refusal)
    }

    /// Why the object needs no verdict, or is refused as a whole.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.object {
            AssessedObject::NoImages(reason) => Some(reason),
            AssessedObject::Refused(verdict) => verdict.reasons.first().map(String::as_str),
            _ => None,
        }
    }

    /// Whether a Pod got other labels, while its images stay as they were.
    pub(crate) fn is_relabelled(&self) -> bool {
        matches!(self.object, AssessedObject::Unchanged { relabelled: true })
    }

    /// How long the verdicts hold: as long as the one that ends first.
    pub(crate) fn ttl(&self) -> Duration {
        self.candidates().iter().map(Candidate::ttl).min().unwrap_or_default()
    }

    /// What decided. A missing verdict outweighs where the others came from.
    pub(crate) fn decided_by(&self, judgement: Judgement) -> DecidedBy {
        let origin = self.candidates().iter().map(Candidate::origin).max().unwrap_or(Origin::Rule);
        match judgement.grounds {
            _ if self.is_shed() => DecidedBy::Overload,
            Grounds::NoVerdict(_) if origin == Origin::Overload => DecidedBy::Overload,
            Grounds::NoVerdict(FailureMode::Open) => DecidedBy::FailOpen,
            Grounds::NoVerdict(FailureMode::Closed) => DecidedBy::FailClosed,
            Grounds::Failed if !self.fails_by_policy() => DecidedBy::Rule,
            _ if matches!(self.object, AssessedObject::Unchanged { .. }) => DecidedBy::Unchanged,
            _ => match origin {
                Origin::Rule => DecidedBy::Rule,
                Origin::Cache => DecidedBy::Cache,
                Origin::Backend | Origin::Breaker => DecidedBy::Backend,
                Origin::Overload => DecidedBy::Overload,
            },
        }
    }

    /// Whether the review was not read for want of room.
    fn is_shed(&self) -> bool {
        matches!(&self.object, AssessedObject::Refused(verdict) if verdict.rule == Rule::Overload)
    }

    fn fails_by_policy(&self) -> bool {
        let mut candidates = self.candidates().iter();
        candidates.any(|candidate| candidate.level() == Level::Fail && candidate.rule() == Rule::Policy)
    }
}

impl DecidedBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Backend => "backend",
            Self::Unchanged => "unchanged",
            Self::FailOpen => "fail-open",
            Self::FailClosed => "fail-closed",
            Self::Overload => "overload",
            Self::Rule => "rule",
        }
    }
}
