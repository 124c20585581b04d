//! Asks about the images of one review: registries for digests, then the policy source for verdicts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zastava_core::clock::Clock;
use zastava_core::image::Digest;

use crate::candidate::Candidate;
use crate::policy::{Answer, Answers, AskedImage, Policy, PolicyLayer as _, Question};
use crate::resolve::Registries;
use crate::verdict::Level;

/// Registries get at most this part of a review's time, so that the policy source can still be asked about the other
/// images when one of them hangs.
const REGISTRIES_PART: u32 = 2;

/// Who is asked, and in which circumstances.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) policy: &'a Policy,
    pub(super) registries: &'a Registries,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) namespace: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
}

impl Asking<'_> {
    /// The candidates with what is known about them when the time is up. One question asks for all that their text and their
    /// registries do not settle, and a second for the images in indexes that the policy source does not know.
    pub(super) async fn answered<'r>(
        &self,
        mut candidates: Vec<Candidate<'r>>,
        budget: Duration,
    ) -> Vec<Candidate<'r>> {
        let begun = Instant::now();
        let waited = self.locate(&mut candidates, begun + budget / REGISTRIES_PART).await;
        let asked: Vec<_> = candidates.iter().filter_map(Candidate::asked).collect();
        let answers = self.answers(asked, budget.saturating_sub(waited)).await;
        let answers: Vec<_> =
            candidates.iter().map(|candidate| answers.get(candidate.asked()?.reference).cloned()).collect();
        for (candidate, answer) in candidates.iter_mut().zip(answers) {
            if let Some(answer) = answer {
                candidate.answered(answer);
            }
        }
        self.judge_indexes(&mut candidates, begun + budget).await;
        candidates
    }

    /// Finds the digests of tags, all at once. Returns how long it waited for them.
    async fn locate(&self, candidates: &mut [Candidate<'_>], deadline: Instant) -> Duration {
        let mut begun = None;
        let asked: Vec<_> =
            candidates.iter().map(|candidate| self.registries.ask(candidate.tag()?)).collect();
        for (candidate, asked) in candidates.iter_mut().zip(asked) {
            if let Some(asked) = asked {
                begun.get_or_insert_with(Instant::now);
                candidate.located(asked.answer(deadline).await);
            }
        }
        begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Gives an index that has no verdict the heaviest verdict of its images: nobody knows on which platform it will run.
    ///
    /// docs/design/admission.md#which-digest-of-an-image-for-several-platforms-is-asked
    async fn judge_indexes(&self, candidates: &mut [Candidate<'_>], deadline: Instant) {
        if candidates.iter().all(|candidate| candidate.unjudged_index().is_none()) {
            return;
        }
        let indexes: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let (image, index) = candidate.unjudged_index()?;
                self.registries.ask_platforms(image, index)
            })
            .collect();
        let mut platforms: Vec<Vec<(String, Digest)>> = Vec::with_capacity(indexes.len());
        for (candidate, asked) in candidates.iter().zip(indexes) {
            // What is no index, or cannot be read, stays without a verdict.
            let digests = match asked {
                Some(asked) => asked.answer(deadline).await.unwrap_or_default(),
                None => Vec::new(),
            };
            platforms.push(candidate.platforms(&digests));
        }
        let asked = platforms.iter().flatten();
        let asked = asked.map(|(reference, digest)| AskedImage { reference, digest: Some(*digest) });
        let left = deadline.saturating_duration_since(Instant::now());
        let answers = self.answers(asked.collect(), left).await;
        for (candidate, platforms) in candidates.iter_mut().zip(&platforms) {
            let answers = platforms.iter().map(|(reference, _)| answers.get(reference.as_str()));
            // Silence at this question takes nothing from the answer to the first.
            if let Some(answer) = heaviest(answers).filter(|answer| answer.verdict.level != Level::Unknown) {
                candidate.answered(answer);
            }
        }
    }

    /// Asks about each image once. Two candidates may ask for the same one: one names its tag beside the digest.
    async fn answers<'q>(&'q self, mut images: Vec<AskedImage<'q>>, budget: Duration) -> Answers<'q> {
        let mut seen = HashSet::new();
        images.retain(|image| seen.insert(image.reference));
        if images.is_empty() {
            return Answers::new();
        }
        let Self { namespace, labels, clock, .. } = *self;
        let question = Question { namespace, labels, images, is_refresh: false, budget, clock };
        self.policy.answers(&question).await
    }
}

/// The answer with the heaviest verdict, for the shortest time. None when an image has no answer.
fn heaviest<'a>(answers: impl IntoIterator<Item = Option<&'a Answer>>) -> Option<Answer> {
    let answers: Vec<_> = answers.into_iter().collect::<Option<_>>()?;
    let heaviest = answers.iter().max_by_key(|answer: &&&Answer| answer.verdict.level)?;
    let ttl = answers.iter().map(|answer: &&Answer| answer.ttl).min()?;
    Some(Answer { ttl, ..(**heaviest).clone() })
}
