//! A judgement as it is answered and logged.
//!
//! The words are made once and go three ways: into the AdmissionReview that answers the API server,
//! into the decision line, and into the audit annotations that both carry.

mod answer;
mod words;

use std::collections::BTreeMap;

use bytes::Bytes;
use zastava_core::contract::{self, AdmissionDecision};

use crate::assessment::{Assessment, DecidedBy};
use crate::candidate::Candidate;
use crate::judgement::Judgement;
use crate::review::Review;
use crate::text::printable;
use words::Words;

/// The longest name that Kubernetes gives.
const NAME_LENGTH_MAX: usize = 253;

/// What is decided of one review.
#[derive(Debug)]
pub(crate) struct Decision<'r> {
    review: &'r Review<'r>,
    assessment: Assessment<'r>,
    judgement: Judgement,
    words: Words,
}

impl<'r> Decision<'r> {
    pub(crate) fn new(review: &'r Review<'r>, assessment: Assessment<'r>, judgement: Judgement) -> Self {
        let words = Words::new(&assessment, judgement, review.namespace());
        Self { review, assessment, judgement, words }
    }

    pub(crate) fn decision(&self) -> contract::Decision {
        if self.judgement.is_allowed() { contract::Decision::Allow } else { contract::Decision::Deny }
    }

    pub(crate) fn decided_by(&self) -> DecidedBy {
        self.assessment.decided_by(self.judgement)
    }

    /// The body of the answer: an AdmissionReview with the review's uid.
    pub(crate) fn answer(&self) -> Bytes {
        answer::body(self.review.uid(), self.judgement.is_allowed(), &self.words)
    }

    /// The decision for logs and embedders.
    pub(crate) fn record(&self) -> AdmissionDecision {
        let review = self.review;
        AdmissionDecision {
            admission_id: review.uid().to_owned(),
            namespace: printable(review.namespace(), NAME_LENGTH_MAX),
            pod_spec_digest: self.assessment.pod_spec_digest,
            images: self.assessment.candidates().iter().map(Candidate::decision).collect(),
            decision: self.decision(),
            ttl_seconds: self.assessment.ttl().as_secs(),
            annotations: self.annotations(),
        }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let review = self.review;
        let audit = self.words.annotations.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
        let ours = [
            ("source", self.decided_by().name()),
            ("operation", review.operation()),
            ("kind", review.kind()),
            ("subResource", review.sub_resource()),
            ("name", review.name()),
            ("dryRun", if review.is_dry_run() { "true" } else { "" }),
            ("reason", self.assessment.reason().unwrap_or_default()),
        ];
        let ours = ours.into_iter().filter(|(_, text)| !text.is_empty());
        audit.chain(ours.map(|(name, text)| (name.to_owned(), printable(text, NAME_LENGTH_MAX)))).collect()
    }
}
