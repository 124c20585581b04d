//! What a review found out, on its way to a decision.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::{AdmissionDecision, PolicyVerdict};
use zastava_core::image::Digest;

use super::metrics::Source;
use crate::options::FailureMode;
use crate::resolve::Target;
use crate::review::Review;
use crate::text::shown;
use crate::verdict::{Because, ImageVerdict, JudgedImage, Outcome, Rule};

/// No reference can be longer: a name of 255, a tag of 128, a digest of 71 and the separators.
const NAME_LENGTH_MAX: usize = 512;
/// The longest name that Kubernetes gives.
const ANNOTATION_LENGTH_MAX: usize = 253;

/// Verdicts by the reference asked, and how long each holds.
pub(super) type Known = HashMap<String, (Arc<ImageVerdict>, Duration)>;

/// What was found out about a review's object.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) images: Vec<JudgedImage>,
    pod_spec_digest: Option<Digest>,
    /// How long the verdicts hold; that of the shortest.
    ttl: Duration,
    source: Source,
    /// A rule that refuses the whole object.
    pub(super) refusal: Option<(Rule, String)>,
    note: Option<&'static str>,
}

impl Findings {
    pub(super) fn settled(source: Source, pod_spec_digest: Option<Digest>) -> Self {
        Self { images: Vec::new(), pod_spec_digest, ttl: Duration::ZERO, source, refusal: None, note: None }
    }

    pub(super) fn no_images(reason: &'static str) -> Self {
        Self { note: Some(reason), ..Self::settled(Source::Rule, None) }
    }

    pub(super) fn refused(rule: Rule, reason: String, pod_spec_digest: Option<Digest>) -> Self {
        Self { refusal: Some((rule, reason)), ..Self::settled(Source::Rule, pod_spec_digest) }
    }

    pub(super) fn judged(
        names: Vec<&str>,
        targets: Vec<Target>,
        known: &Known,
        source: Source,
        pod_spec_digest: Option<Digest>,
    ) -> Self {
        let mut ttl: Option<Duration> = None;
        let judge = |(name, target): (&str, Target)| {
            let resolved = target.pinned().map(str::to_owned);
            let found = target.asked().and_then(|asked| known.get(asked)).cloned();
            let (verdict, holds) = match (found, target) {
                (Some(found), _) => found,
                (None, Target::Settled(verdict)) => (Arc::new(verdict), Duration::ZERO),
                // Every target that is asked has become known; were one not, it has no verdict.
                (None, _) => (Arc::new(ImageVerdict::unknown(Rule::NoVerdict, "not asked")), Duration::ZERO),
            };
            ttl = Some(ttl.map_or(holds, |ttl| ttl.min(holds)));
            JudgedImage { name: shown(name, NAME_LENGTH_MAX), resolved, verdict }
        };
        let images = names.into_iter().zip(targets).map(judge).collect();
        let ttl = ttl.unwrap_or_default();
        Self { images, ttl, ..Self::settled(source, pod_spec_digest) }
    }

    /// What decided: a missing verdict outweighs where the others came from.
    pub(super) fn decided_by(&self, outcome: &Outcome) -> Source {
        match outcome.because {
            Because::NoVerdict(_) if self.source == Source::Overload => Source::Overload,
            Because::NoVerdict(FailureMode::Open) => Source::FailOpen,
            Because::NoVerdict(FailureMode::Closed) => Source::FailClosed,
            Because::Failed if self.is_refused_by_rule() => Source::Rule,
            _ => self.source,
        }
    }

    fn is_refused_by_rule(&self) -> bool {
        let by_policy = |image: &JudgedImage| {
            image.verdict.policy == PolicyVerdict::Fail && image.verdict.rule == Rule::Policy
        };
        !self.images.iter().any(by_policy)
    }

    pub(super) fn decision(self, review: &Review<'_>, outcome: Outcome, source: Source) -> AdmissionDecision {
        let mut annotations: BTreeMap<String, String> =
            outcome.annotations.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let refusal = || self.refusal.as_ref().map(|(_, reason)| reason.as_str());
        let reason = self.note.or_else(refusal);
        for (name, text) in [
            ("source", source.name()),
            ("operation", review.operation()),
            ("kind", review.kind()),
            ("subResource", review.sub_resource()),
            ("name", review.name()),
            ("dryRun", if review.is_dry_run() { "true" } else { "" }),
            ("reason", reason.unwrap_or_default()),
        ] {
            if !text.is_empty() {
                annotations.insert(name.to_owned(), shown(text, ANNOTATION_LENGTH_MAX));
            }
        }
        AdmissionDecision {
            admission_id: review.uid().to_owned(),
            namespace: shown(review.namespace(), ANNOTATION_LENGTH_MAX),
            pod_spec_digest: self.pod_spec_digest,
            images: self.images.iter().map(JudgedImage::decision).collect(),
            decision: outcome.decision,
            ttl_seconds: self.ttl.as_secs(),
            annotations,
        }
    }
}
