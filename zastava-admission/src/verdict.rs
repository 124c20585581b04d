//! What is believed of an image, and what follows for the object. Pure.
//!
//! | verdicts of the images | decision |
//! | --- | --- |
//! | any `fail` | Deny |
//! | else any `error`: no verdict | the namespace's failure mode |
//! | else any `warn` | Allow, with a warning |
//! | else | Allow |

mod answer;

use std::fmt;
use std::sync::Arc;

use zastava_core::contract::{Decision, ImageDecision, ImageResult, PolicyVerdict, Rekor};

pub(crate) use answer::{Outcome, conclude, response};

use crate::options::FailureMode;
use crate::text::shown;

/// Reasons that are kept of one result.
const REASONS_MAX: usize = 8;
const REASON_LENGTH_MAX: usize = 256;
/// Metadata beyond this is left out of the decision: it is Scanner's, to be read there.
const METADATA_BYTES_MAX: usize = 4096;

/// Which rule settled an image or an object. The names stand in messages and decision lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Scanner's policy.
    Policy,
    /// Scanner gave no verdict.
    NoVerdict,
    /// Scanner answers and will not take the question.
    Unanswerable,
    /// Too many reviews wait for Scanner.
    Overload,
    /// A tag without a digest, and tags are not resolved.
    UnpinnedTag,
    /// No image reference.
    MalformedReference,
    /// A Pod whose container names no image.
    BlankImage,
    /// A kind or operation that is not known.
    UnknownKind,
    /// The object is not shaped like its kind.
    UnreadableObject,
    /// More images or labels than a review may have.
    TooLarge,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::NoVerdict => "no-verdict",
            Self::Unanswerable => "unanswerable",
            Self::Overload => "overload",
            Self::UnpinnedTag => "unpinned-tag",
            Self::MalformedReference => "malformed-reference",
            Self::BlankImage => "blank-image",
            Self::UnknownKind => "unknown-kind",
            Self::UnreadableObject => "unreadable-object",
            Self::TooLarge => "too-large",
        }
    }

    /// What the user can do about it.
    fn advice(self) -> &'static str {
        match self {
            Self::Policy => "Sign the image or have its policy changed in Scanner, then try again.",
            Self::NoVerdict => {
                "Try again; if it stays, ask the operators whether Scanner and Authority answer."
            }
            Self::Unanswerable => "Correct the image references and labels, or split the object.",
            Self::Overload => "Try again in a moment.",
            Self::UnpinnedTag => "Name the image by its digest.",
            Self::MalformedReference => "Correct the image reference.",
            Self::BlankImage => "Name an image for every container.",
            Self::UnknownKind => {
                "Take the resource out of the webhook's rules if its images need not be judged."
            }
            Self::UnreadableObject => "Correct the object.",
            Self::TooLarge => "Split the object.",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is believed of one image. Everything foreign in it is bounded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageVerdict {
    pub(crate) rule: Rule,
    pub(crate) policy: PolicyVerdict,
    reasons: Vec<String>,
    signed: bool,
    has_sbom_referrers: bool,
    rekor: Option<Rekor>,
    metadata: serde_json::Map<String, serde_json::Value>,
    metadata_bytes: usize,
}

impl ImageVerdict {
    /// Scanner's result. One without a verdict is an `error`.
    pub(crate) fn from_result(result: &ImageResult) -> Self {
        let Some(policy) = result.policy_verdict.filter(|verdict| *verdict != PolicyVerdict::Error) else {
            let reason = match result.reasons.first() {
                Some(reason) => format!("scanner has no verdict: {}", shown(reason, REASON_LENGTH_MAX)),
                None => "scanner has no verdict".to_owned(),
            };
            return Self::unknown(Rule::NoVerdict, reason);
        };
        let metadata_bytes = serde_json::to_vec(&result.metadata).map_or(usize::MAX, |json| json.len());
        let (metadata, metadata_bytes) = match metadata_bytes {
            0..=METADATA_BYTES_MAX => (result.metadata.clone(), metadata_bytes),
            _ => (serde_json::Map::new(), 0),
        };
        let reasons = result.reasons.iter().take(REASONS_MAX);
        let bounded = |text: &String| shown(text, REASON_LENGTH_MAX);
        Self {
            rule: Rule::Policy,
            policy,
            reasons: reasons.map(|reason| shown(reason, REASON_LENGTH_MAX)).collect(),
            signed: result.signed.unwrap_or(false),
            has_sbom_referrers: result.has_sbom_referrers.unwrap_or(false),
            rekor: result.rekor.as_ref().map(|rekor| Rekor {
                uuid: rekor.uuid.as_ref().map(bounded),
                url: rekor.url.as_ref().map(bounded),
                verified: rekor.verified,
            }),
            metadata,
            metadata_bytes,
        }
    }

    /// No verdict: the namespace's failure mode decides.
    pub(crate) fn unknown(rule: Rule, reason: impl Into<String>) -> Self {
        Self::settled(PolicyVerdict::Error, rule, reason.into())
    }

    /// Refused by a rule of the webhook's own, whatever the namespace's failure mode.
    pub(crate) fn refused(rule: Rule, reason: impl Into<String>) -> Self {
        Self::settled(PolicyVerdict::Fail, rule, reason.into())
    }

    fn settled(policy: PolicyVerdict, rule: Rule, reason: String) -> Self {
        Self {
            rule,
            policy,
            reasons: vec![reason],
            signed: false,
            has_sbom_referrers: false,
            rekor: None,
            metadata: serde_json::Map::new(),
            metadata_bytes: 0,
        }
    }

    /// How much memory this takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let reasons: usize = self.reasons.iter().map(String::len).sum();
        size_of::<Self>() + reasons + 2 * self.metadata_bytes
    }
}

/// An image of the object with what is believed of it.
#[derive(Clone, Debug)]
pub(crate) struct JudgedImage {
    /// The reference as written, shortened if it is longer than any reference can be.
    pub(crate) name: String,
    /// `registry/repository@sha256:…` when the digest is known.
    pub(crate) resolved: Option<String>,
    pub(crate) verdict: Arc<ImageVerdict>,
}

impl JudgedImage {
    pub(crate) fn decision(&self) -> ImageDecision {
        let verdict = &self.verdict;
        ImageDecision {
            name: self.name.clone(),
            resolved: self.resolved.clone(),
            signed: verdict.signed,
            has_sbom_referrers: verdict.has_sbom_referrers,
            policy_verdict: verdict.policy,
            reasons: verdict.reasons.clone(),
            rekor: verdict.rekor.clone(),
            metadata: verdict.metadata.clone(),
        }
    }

    /// The image, what is wrong with it, and by which rule.
    fn complaint(&self) -> String {
        let ImageVerdict { rule, policy, reasons, .. } = &*self.verdict;
        let reasons = match reasons.as_slice() {
            [] => format!("policy verdict {}", policy.name()),
            reasons => reasons.join("; "),
        };
        match self.name.as_str() {
            "" => format!("{reasons} (rule {rule})"),
            name => format!("image {name}: {reasons} (rule {rule})"),
        }
    }
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    Passed,
    Warned,
    Failed,
    NoVerdict(FailureMode),
}

/// The table at the top of this file.
pub(crate) fn decide(
    verdicts: impl IntoIterator<Item = PolicyVerdict>,
    mode: FailureMode,
) -> (Decision, Because) {
    // The order of the verdicts: pass, warn, fail, error. `fail` outweighs `error`: what is known
    // to be bad is denied even where the unknown is not.
    let weight = |verdict: &PolicyVerdict| match verdict {
        PolicyVerdict::Pass => 0,
        PolicyVerdict::Warn => 1,
        PolicyVerdict::Error => 2,
        PolicyVerdict::Fail => 3,
    };
    match verdicts.into_iter().max_by_key(weight).unwrap_or(PolicyVerdict::Pass) {
        PolicyVerdict::Pass => (Decision::Allow, Because::Passed),
        PolicyVerdict::Warn => (Decision::Allow, Because::Warned),
        PolicyVerdict::Fail => (Decision::Deny, Because::Failed),
        PolicyVerdict::Error => match mode {
            FailureMode::Closed => (Decision::Deny, Because::NoVerdict(mode)),
            FailureMode::Open => (Decision::Allow, Because::NoVerdict(mode)),
        },
    }
}
