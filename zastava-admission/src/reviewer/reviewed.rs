//! What a reviewer returns.

use bytes::Bytes;
use zastava_core::contract::{AdmissionDecision, AdmissionDecisionEnvelope, Decision};

/// A decided review: the answer for the API server and the decision behind it.
#[derive(Clone, Debug)]
pub struct Reviewed {
    pub(super) response: Bytes,
    pub(super) envelope: AdmissionDecisionEnvelope,
}

impl Reviewed {
    /// Whether the object may be stored.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.envelope.decision.decision == Decision::Allow
    }

    /// What was decided, with the verdict on each image and the reasons.
    #[must_use]
    pub fn decision(&self) -> &AdmissionDecision {
        &self.envelope.decision
    }

    /// The decision with its schema version: one line of the decision log.
    #[must_use]
    pub fn envelope(&self) -> &AdmissionDecisionEnvelope {
        &self.envelope
    }

    /// The body of the HTTP answer: an AdmissionReview in JSON, to be sent with status 200.
    #[must_use]
    pub fn response(&self) -> &Bytes {
        &self.response
    }

    /// The answer and the decision line.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, AdmissionDecisionEnvelope) {
        (self.response, self.envelope)
    }
}
