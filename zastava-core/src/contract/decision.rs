//! The admission decision: webhook to log and embedder.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::version::SchemaVersion;
use crate::image::Digest;

/// `{"schemaVersion": "zastava.admission.decision@v1.0", "decision": {…}}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionDecisionEnvelope {
    /// What the decision is written in.
    pub schema_version: SchemaVersion,
    /// The decision itself.
    pub decision: AdmissionDecision,
}

impl AdmissionDecisionEnvelope {
    /// The decision in the version that this release writes.
    #[must_use]
    pub fn new(decision: AdmissionDecision) -> Self {
        Self { schema_version: SchemaVersion::ADMISSION_DECISION, decision }
    }
}

/// What was decided for one AdmissionReview, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionDecision {
    /// The review's uid.
    pub admission_id: String,
    /// The request's namespace.
    pub namespace: String,
    /// RFC 8785 digest of the pod's spec; absent when the object has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_spec_digest: Option<Digest>,
    /// One entry for each distinct image, in the order of the spec.
    pub images: Vec<ImageDecision>,
    /// The outcome.
    pub decision: Decision,
    /// How long the verdicts hold.
    pub ttl_seconds: u64,
    /// Anything else that explains the outcome, such as `failOpen`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The outcome of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::exhaustive_enums, reason = "an API server knows no third answer")]
pub enum Decision {
    /// The object may be stored.
    Allow,
    /// The object is refused.
    Deny,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        })
    }
}

/// What is known of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDecision {
    /// The reference as written in the object.
    pub name: String,
    /// `repository@sha256:…` when the digest is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// Whether the image carries a valid signature.
    pub signed: bool,
    /// Whether the image has an SBOM among its referrers.
    pub has_sbom_referrers: bool,
    /// Scanner's verdict.
    pub policy_verdict: PolicyVerdict,
    /// Why, in Scanner's words.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The image's entry in a transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekor: Option<Rekor>,
    /// Anything else that Scanner told.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Scanner's verdict on an image. Read in any case; written in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the decision table must name every verdict")]
pub enum PolicyVerdict {
    /// The image passes.
    Pass,
    /// The image passes with a warning.
    Warn,
    /// The image fails: the object is denied.
    Fail,
    /// There is no verdict: the namespace's failure mode decides.
    Error,
}

impl PolicyVerdict {
    /// The verdict's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

impl<'de> Deserialize<'de> for PolicyVerdict {
    /// A word that is no verdict reads as `error`: what is not understood is never a pass.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let verdicts = [Self::Pass, Self::Warn, Self::Fail];
        Ok(verdicts
            .into_iter()
            .find(|verdict| text.eq_ignore_ascii_case(verdict.name()))
            .unwrap_or(Self::Error))
    }
}

/// An entry in a transparency log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekor {
    /// The log entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Where the entry can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it was checked and held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}
