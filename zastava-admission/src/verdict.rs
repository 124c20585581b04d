//! What is known about one image. Pure.

mod rule;

use zastava_core::contract::{ImageResult, PolicyVerdict, Rekor};

pub use rule::Rule;

use crate::text::printable;

/// Reasons that are kept of one result.
const REASONS_MAX: usize = 8;
const REASON_LENGTH_MAX: usize = 256;
/// Larger metadata is left out of the decision; it can be read in Scanner.
const METADATA_BYTES_MAX: usize = 4096;

/// A verdict on an image, or on an object as a whole. Text from outside is bounded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    /// The rule that gave the verdict.
    pub(crate) rule: Rule,
    pub(crate) reasons: Vec<String>,
    pub(crate) facts: ImageFacts,
}

/// How bad a verdict is, in the order of weight: the heaviest of an object's verdicts decides.
///
/// `Fail` outweighs `Unknown`. An object with a bad image is denied where a merely unknown image
/// would be allowed (docs/design/admission.md#which-verdict-outweighs-which).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Pass,
    Warn,
    /// Nobody gave a verdict. The wire calls this `error`.
    Unknown,
    /// There was an answer without a verdict on this image, which the wire calls `error` too.
    Unjudged,
    Fail,
}

/// What the policy source reported of an image beside its verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ImageFacts {
    pub(crate) signed: bool,
    pub(crate) has_sbom_referrers: bool,
    pub(crate) rekor: Option<Rekor>,
    pub(crate) metadata: serde_json::Map<String, serde_json::Value>,
    metadata_bytes: usize,
}

impl Verdict {
    /// The verdict in a policy source's result; none when the result has none.
    pub(crate) fn from_result(result: &ImageResult) -> Self {
        let level = match result.policy_verdict {
            Some(PolicyVerdict::Pass) => Level::Pass,
            Some(PolicyVerdict::Warn) => Level::Warn,
            Some(PolicyVerdict::Fail) => Level::Fail,
            Some(PolicyVerdict::Error) | None => {
                let reason = result.reasons.first().map(|reason| printable(reason, REASON_LENGTH_MAX));
                return Self::unjudged(reason.map_or_else(
                    || "the policy source has no verdict on the image".to_owned(),
                    |reason| format!("the policy source has no verdict on the image: {reason}"),
                ));
            }
        };
        let reasons = result.reasons.iter().take(REASONS_MAX);
        Self {
            level,
            rule: Rule::Policy,
            reasons: reasons.map(|reason| printable(reason, REASON_LENGTH_MAX)).collect(),
            facts: ImageFacts::from_result(result),
        }
    }

    /// No verdict: the namespace's failure mode decides.
    pub(crate) fn unknown(rule: Rule, reason: impl Into<String>) -> Self {
        Self { level: Level::Unknown, rule, reasons: vec![reason.into()], facts: ImageFacts::default() }
    }

    /// No verdict on the image, although there was an answer. An image that is not there yet gets one like it, so that the
    /// namespace's failure mode does not matter.
    ///
    /// docs/design/admission.md#is-an-error-for-one-image-silence
    pub(crate) fn unjudged(reason: impl Into<String>) -> Self {
        Self { level: Level::Unjudged, ..Self::unknown(Rule::NoImageVerdict, reason) }
    }

    /// Refused by a rule of the webhook itself. The namespace's failure mode does not matter.
    pub(crate) fn refused(rule: Rule, reason: impl Into<String>) -> Self {
        Self { level: Level::Fail, rule, reasons: vec![reason.into()], facts: ImageFacts::default() }
    }

    /// What is wrong, and by which rule.
    pub(crate) fn complaint(&self) -> String {
        let reasons = match self.reasons.as_slice() {
            [] => format!("policy verdict {}", PolicyVerdict::from(self.level).name()),
            reasons => reasons.join("; "),
        };
        format!("{reasons} (rule {})", self.rule)
    }

    /// An estimate of the memory that the verdict takes.
    pub(crate) fn bytes(&self) -> usize {
        let reasons: usize = self.reasons.iter().map(String::len).sum();
        size_of::<Self>() + reasons + 2 * self.facts.metadata_bytes
    }
}

impl ImageFacts {
    fn from_result(result: &ImageResult) -> Self {
        let metadata_bytes = serde_json::to_vec(&result.metadata).map_or(usize::MAX, |json| json.len());
        let (metadata, metadata_bytes) = match metadata_bytes {
            0..=METADATA_BYTES_MAX => (result.metadata.clone(), metadata_bytes),
            _ => (serde_json::Map::new(), 0),
        };
        let bounded = |text: &String| printable(text, REASON_LENGTH_MAX);
        Self {
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
}

impl From<Level> for PolicyVerdict {
    fn from(level: Level) -> Self {
        match level {
            Level::Pass => Self::Pass,
            Level::Warn => Self::Warn,
            Level::Fail => Self::Fail,
            Level::Unknown | Level::Unjudged => Self::Error,
        }
    }
}
