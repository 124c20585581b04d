//! The images of a review on their way to verdicts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::ImageDecision;
use zastava_core::image::ImageReference;

use crate::policy::{Answer, AskedImage, Origin};
use crate::resolve::{Query, resolve};
use crate::review::{ImageUse, PodSpec};
use crate::text::printable;
use crate::verdict::{Level, Rule, Verdict};

/// No reference can be longer: a name of 255, a tag of 128, a digest of 71 and the separators.
const NAME_LENGTH_MAX: usize = 512;

/// One image of a review: where it stands, how it is asked, and what is known about it.
#[derive(Debug)]
pub(crate) struct Candidate<'r> {
    /// The first place that names the image, with the reference as written.
    image: &'r ImageUse<'r>,
    /// `None` when the text alone settled the verdict.
    query: Option<Query>,
    /// Unknown until the query is answered.
    answer: Answer,
}

impl<'r> Candidate<'r> {
    /// The images of a pod, each reference once, in the order of the spec.
    ///
    /// A template may leave an image blank for a later hand to fill in. The Pod is judged then.
    pub(crate) fn all(pod: &'r PodSpec<'r>, resolve_tags: bool) -> Vec<Self> {
        let mut seen = HashSet::new();
        pod.images()
            .iter()
            .filter(|image| !(pod.is_template() && image.reference.trim().is_empty()))
            .filter(|image| seen.insert(&*image.reference))
            .map(|image| Self::new(image, resolve_tags))
            .collect()
    }

    fn new(image: &'r ImageUse<'r>, resolve_tags: bool) -> Self {
        let (query, verdict) = match resolve(&image.reference, resolve_tags) {
            Ok(query) => (Some(query), Arc::new(Verdict::unknown(Rule::NoVerdict, "not asked"))),
            Err(verdict) => (None, verdict),
        };
        let answer = Answer { verdict, ttl: Duration::ZERO, origin: Origin::Rule };
        Self { image, query, answer }
    }

    /// What the policy source is asked about the image, if anything.
    pub(crate) fn asked(&self) -> Option<AskedImage<'_>> {
        self.query.as_ref().map(Query::asked)
    }

    /// Takes the answer to [`Candidate::asked`].
    pub(crate) fn answered(&mut self, answer: Answer) {
        self.answer = answer;
    }

    pub(crate) fn level(&self) -> Level {
        self.answer.verdict.level
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
        match self.name().as_str() {
            "" => complaint,
            // Scanner may know the image by its digest alone.
            name if self.is_tag() => format!("image {name} has {} digest: {complaint}", self.tag_and_no()),
            name => format!("image {name}: {complaint}"),
        }
    }

    /// What the user can do when the image is the reason of a denial.
    pub(crate) fn advice(&self) -> &'static str {
        match self.rule() {
            Rule::NoVerdict if self.is_tag() => Rule::UnpinnedTag.advice(),
            rule => rule.advice(),
        }
    }

    fn tag_and_no(&self) -> &'static str {
        let reference = self.image.reference.parse::<ImageReference>();
        let has_tag = reference.is_ok_and(|reference| reference.tag().is_some());
        if has_tag { "a tag and no" } else { "neither tag nor" }
    }

    fn is_tag(&self) -> bool {
        matches!(self.query, Some(Query::Tag(_))) || self.rule() == Rule::UnpinnedTag
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
        printable(&self.image.reference, NAME_LENGTH_MAX)
    }
}
