//! The images of a review on their way to verdicts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::ImageDecision;
use zastava_core::image::{Digest, ImageReference};

use crate::options::AdmissionOptions;
use crate::policy::{Answer, AskedImage, Origin};
use crate::resolve::{Manifest, Mirrors, Query, Unresolved, resolve};
use crate::review::{ImageUse, Pod};
use crate::text;
use crate::verdict::{Level, Rule, Verdict};

/// No reference can be longer: a name of 255, a tag of 128, a digest of 71 and the separators.
const NAME_LENGTH_MAX: usize = 512;

/// The verdict on a text that stands for an image which something else fills in.
///
/// docs/design/admission.md#what-is-an-image-called-auto
fn placeholder(reference: &str, is_template: bool, options: &AdmissionOptions) -> Option<Verdict> {
    if !options.template_placeholders.iter().any(|placeholder| placeholder == reference) {
        return None;
    }
    let verdict = |reason| Verdict::refused(Rule::Placeholder, reason);
    Some(match is_template {
        true => Verdict {
            level: Level::Warn,
            ..verdict("stands for an image that is filled in later, and judged in the Pod")
        },
        false => verdict("stands for an image that nobody has filled in"),
    })
}

/// One image of a review: where it stands, how it is asked, and what is known about it.
#[derive(Debug)]
pub(crate) struct Candidate<'r> {
    /// The reference as written.
    reference: &'r str,
    /// Whether the image ran in the same places before the update.
    kept: bool,
    /// `None` when the text alone settled the verdict.
    query: Option<Query>,
    /// Unknown until the query is answered.
    answer: Answer,
}

impl<'r> Candidate<'r> {
    /// The images of a pod, each reference once, in the order of the spec.
    ///
    /// A template may leave an image blank for a later hand to fill in. The Pod is judged then.
    pub(crate) fn all(pod: &'r Pod, options: &AdmissionOptions, mirrors: &Mirrors) -> Vec<Self> {
        let is_blank = |image: &&ImageUse<'_>| pod.is_template && image.reference.trim().is_empty();
        let new: HashSet<_> =
            pod.images.iter().filter(|image| !image.kept).map(|image| &*image.reference).collect();
        let resolved = |reference: &str| match placeholder(reference, pod.is_template, options) {
            Some(verdict) => Err(Arc::new(verdict)),
            None => resolve(reference, options.resolve_tags, mirrors),
        };
        let mut seen = HashSet::new();
        pod.images
            .iter()
            .filter(|image| !is_blank(image))
            .map(|image| &*image.reference)
            .filter(|reference| seen.insert(*reference))
            .map(|reference| Self::new(reference, !new.contains(reference), resolved(reference)))
            .collect()
    }

    fn new(reference: &'r str, kept: bool, resolved: Result<Query, Arc<Verdict>>) -> Self {
        let (query, verdict) = match resolved {
            Ok(query) => (Some(query), Arc::new(Verdict::unknown(Rule::NoVerdict, "not asked"))),
            Err(verdict) => (None, verdict),
        };
        let answer = Answer::once(verdict, Origin::Rule);
        Self { reference, kept, query, answer }
    }

    /// What the policy source is asked about the image, if anything.
    pub(crate) fn asked(&self) -> Option<AskedImage<'_>> {
        self.query.as_ref().map(Query::asked)
    }

    /// The tag that its registry knows the digest of.
    pub(crate) fn tag(&self) -> Option<&ImageReference> {
        match &self.query {
            Some(Query::Tag { places, .. }) => Some(&places.asked_at),
            _ => None,
        }
    }

    /// Takes what the registry says of [`Candidate::tag`].
    pub(crate) fn located(&mut self, found: Result<Manifest, Unresolved>) {
        match found {
            Ok(manifest) => self.query = self.query.as_ref().and_then(|query| query.at(manifest)),
            Err(unresolved) => {
                self.query = None;
                self.answer = Answer::once(unresolved.verdict(), Origin::Rule);
            }
        }
    }

    /// What may be an index that the policy source has no verdict on, where its registry has it: the policy source may know
    /// the images in it.
    pub(crate) fn unjudged_index(&self) -> Option<(&ImageReference, Digest)> {
        match &self.query {
            Some(Query::Pinned { digest, index_at: Some(image), .. })
                if self.rule() == Rule::NoImageVerdict =>
            {
                Some((image, *digest))
            }
            _ => None,
        }
    }

    /// The images of [`Candidate::unjudged_index`] as the policy source is asked about them.
    pub(crate) fn platforms(&self, digests: &[Digest]) -> Vec<(String, Digest)> {
        let query = self.query.as_ref();
        digests.iter().filter_map(|digest| Some((query?.platform(*digest)?, *digest))).collect()
    }

    /// Takes the answer to [`Candidate::asked`].
    pub(crate) fn answered(&mut self, answer: Answer) {
        self.answer = answer;
    }

    /// What the image weighs in the judgement. A denial would not stop what runs already, but would keep it from being
    /// looked into or repaired.
    ///
    /// docs/design/admission.md#what-does-an-update-of-a-pod-judge
    pub(crate) fn level(&self) -> Level {
        let level = self.answer.verdict.level;
        if self.kept { level.min(Level::Warn) } else { level }
    }

    /// Whether only its having been there keeps the image from a denial.
    pub(crate) fn is_excused(&self) -> bool {
        self.level() < self.answer.verdict.level
    }

    pub(crate) fn rule(&self) -> Rule {
        self.answer.verdict.rule
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.answer.ttl
    }

    pub(crate) fn origin(&self) -> Origin {
        self.answer.origin
    }

    /// The image, what is wrong with it, and by which rule.
    pub(crate) fn complaint(&self) -> String {
        let complaint = self.answer.verdict.complaint();
        let kept = if self.kept { "runs already: " } else { "" };
        match self.name().as_str() {
            "" => complaint,
            // Scanner may know the image by its digest alone.
            name if self.is_tag() => {
                format!("image {name} has {} digest: {kept}{complaint}", self.tag_and_no())
            }
            name => format!("image {name}: {kept}{complaint}"),
        }
    }

    /// What the user can do when the image is the reason of a denial.
    pub(crate) fn advice(&self) -> &'static str {
        match self.rule() {
            Rule::NoVerdict | Rule::NoImageVerdict if self.is_tag() => Rule::UnpinnedTag.advice(),
            rule => rule.advice(),
        }
    }

    fn tag_and_no(&self) -> &'static str {
        let reference = self.reference.parse::<ImageReference>();
        let has_tag = reference.is_ok_and(|reference| reference.tag().is_some());
        if has_tag { "a tag and no" } else { "neither tag nor" }
    }

    fn is_tag(&self) -> bool {
        matches!(self.query, Some(Query::Tag { .. }))
            || matches!(self.rule(), Rule::UnpinnedTag | Rule::UnresolvedTag)
    }

    /// The image as the decision line has it.
    pub(crate) fn decision(&self) -> ImageDecision {
        let Verdict { level, reasons, facts, .. } = &*self.answer.verdict;
        ImageDecision {
            name: self.name(),
            resolved: self.query.as_ref().and_then(Query::pinned).map(str::to_owned),
            signed: facts.signed,
            has_sbom_referrers: facts.has_sbom_referrers,
            policy_verdict: (*level).into(),
            reasons: reasons.clone(),
            rekor: facts.rekor.clone(),
            metadata: facts.metadata.clone(),
        }
    }

    fn name(&self) -> String {
        text::name(self.reference, NAME_LENGTH_MAX)
    }
}
