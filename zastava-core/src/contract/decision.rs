//! The admission decision, which the webhook logs and embedders receive.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::version::SchemaVersion;
use crate::image::Digest;

/// `{"schemaVersion": "zastava.admission.decision@v1.0", "decision": {…}}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionDecisionEnvelope {
    /// The version of the schema.
    pub schema_version: SchemaVersion,
    /// The decision.
    pub decision: AdmissionDecision,
}

impl AdmissionDecisionEnvelope {
    /// Wraps the decision in the schema version that this release writes.
    #[must_use]
    pub fn new(decision: AdmissionDecision) -> Self {
        Self { schema_version: SchemaVersion::ADMISSION_DECISION, decision }
    }
}

/// The decision on one AdmissionReview, with its reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionDecision {
    /// The review's uid.
    pub admission_id: String,
    /// The request's namespace.
    pub namespace: String,
    /// The RFC 8785 digest of the pod's spec. Absent when the object has no pod spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_spec_digest: Option<Digest>,
    /// One entry for each distinct image, in the order of the spec.
    pub images: Vec<ImageDecision>,
    /// The result of the review.
    pub decision: Decision,
    /// How long the verdicts are valid.
    pub ttl_seconds: u64,
    /// Further explanations, such as `failOpen`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The result of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::exhaustive_enums, reason = "an API server accepts no third answer")]
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

/// What is known about one image.
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
    /// Scanner's reasons.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The image's entry in a transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekor: Option<Rekor>,
    /// Further facts from Scanner.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Scanner's verdict on an image. It is read in any case and written in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the decision table must name every verdict")]
pub enum PolicyVerdict {
    /// The image passes.
    Pass,
    /// The image passes with a warning.
    Warn,
    /// The image fails: the object is denied.
    Fail,
    /// There is no verdict. The namespace's failure mode decides.
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
    /// An unknown word is read as `error`.
    // docs/design/core.md#why-is-an-unknown-policy-verdict-read-as-error
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
    /// The URL of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether verification succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}
