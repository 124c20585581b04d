//! A judgement as it is answered and logged.
//!
//! The words are made once and go three ways: into the AdmissionReview that answers the API server,
//! into the decision line, and into the audit annotations that both carry.

mod answer;
mod words;

use std::collections::BTreeMap;

use bytes::Bytes;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{self, AdmissionDecision};

use crate::assessment::{Assessment, DecidedBy};
use crate::candidate::Candidate;
use crate::judgement::{Effect, Judgement};
use crate::options::NamespaceOptions;
use crate::review::Head;
use crate::text::name;
use words::Words;

/// The longest name that Kubernetes gives.
const NAME_LENGTH_MAX: usize = 253;

/// What is decided of one review.
#[derive(Debug)]
pub(crate) struct Decision<'r> {
    head: &'r Head,
    assessment: Assessment<'r>,
    judgement: Judgement,
    circumstances: Circumstances<'r>,
    words: Words,
}

/// When and where a review was decided, and by which exception.
#[derive(Debug)]
pub(crate) struct Circumstances<'r> {
    pub(crate) time: Timestamp,
    /// The replica that decides; empty when it has no name.
    pub(crate) replica: &'r str,
    /// What holds for the namespace instead of the general enforcement.
    pub(crate) exception: Option<&'r NamespaceOptions>,
}

impl<'r> Decision<'r> {
    pub(crate) fn new(
        head: &'r Head,
        assessment: Assessment<'r>,
        judgement: Judgement,
        circumstances: Circumstances<'r>,
    ) -> Self {
        let words = Words::new(&assessment, judgement, head);
        Self { head, assessment, judgement, circumstances, words }
    }

    pub(crate) fn decision(&self) -> contract::Decision {
        if self.judgement.is_allowed() { contract::Decision::Allow } else { contract::Decision::Deny }
    }

    pub(crate) fn decided_by(&self) -> DecidedBy {
        self.assessment.decided_by(self.judgement)
    }

    /// The body of the answer: an AdmissionReview with the review's uid.
    pub(crate) fn answer(&self) -> Bytes {
        answer::body(&self.head.uid, self.judgement.is_allowed(), &self.words)
    }

    /// The decision for logs and embedders.
    pub(crate) fn record(&self) -> AdmissionDecision {
        AdmissionDecision {
            admission_id: self.head.uid.clone(),
            namespace: name(&self.head.namespace, NAME_LENGTH_MAX),
            pod_spec_digest: self.assessment.pod_spec_digest,
            images: self.assessment.candidates().iter().map(Candidate::decision).collect(),
            decision: self.decision(),
            ttl_seconds: self.assessment.ttl().as_secs(),
            annotations: self.annotations(),
        }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let head = self.head;
        let audit = self.words.annotations.iter().map(|(key, text)| ((*key).to_owned(), text.clone()));
        let ours = [
            ("source", self.decided_by().name()),
            ("operation", head.operation.as_str()),
            ("kind", &head.kind),
            ("subResource", &head.sub_resource),
            ("name", &head.name),
            ("generateName", &head.generate_name),
            ("uid", &head.object_uid),
            ("user", &head.user),
            ("time", &self.circumstances.time.to_string()),
            ("replica", self.circumstances.replica),
            ("exception", &self.exception()),
            ("dryRun", if head.dry_run { "true" } else { "" }),
            ("reason", self.assessment.reason().unwrap_or_default()),
        ];
        let ours = ours.into_iter().filter(|(_, text)| !text.is_empty());
        audit.chain(ours.map(|(key, text)| (key.to_owned(), name(text, NAME_LENGTH_MAX)))).collect()
    }

    /// The exception by which a denial is not enforced.
    fn exception(&self) -> String {
        match (self.judgement.effect, self.circumstances.exception) {
            (Effect::WouldDeny { .. }, Some(exception)) => exception.to_string(),
            _ => String::new(),
        }
    }
}
