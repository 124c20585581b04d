//! Answers with verdicts that still hold, so that the layers below are asked for the others only.
//!
//! A verdict is remembered for what was asked: the namespace, the labels and the pinned reference. It holds while
//! the source names the revision of the policy that it was made by: an answer with another one ends it.
//! A verdict on a tag is never remembered, because the next pull may get another image; an unknown
//! one neither, because the next review may get an answer.

mod entries;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zastava_core::telemetry::{ADMISSION_CACHE_HITS, Counter, Telemetry};

use super::key::KeyPrefix;
use super::layer::{Answers, AskedImage, PolicyLayer, Question};
use crate::options::AdmissionOptions;
use crate::verdict::Level;
use entries::Entries;

/// The longest that a `fail` is remembered: a denied image may be signed the next minute.
const FAIL_TTL_MAX: Duration = Duration::from_secs(30);

/// Remembers what the layers below answer.
#[derive(Debug)]
pub(crate) struct Cache<L> {
    inner: L,
    entries: Mutex<Entries>,
    ttl_max: Duration,
    hits: Counter,
}

impl<L> Cache<L> {
    /// An empty cache within the bounds of the options.
    pub(super) fn new(inner: L, options: &AdmissionOptions, telemetry: &Telemetry) -> Self {
        let entries = Mutex::new(Entries::new(options.cache_entries_max, options.cache_bytes_max));
        Self { inner, entries, ttl_max: options.cache_ttl, hits: telemetry.counter(ADMISSION_CACHE_HITS) }
    }

    /// Remembers answers that nobody has just asked for. Returns how many hold for a time.
    pub(super) fn sow<'q>(&self, question: &Question<'q>, mut answers: Answers<'q>) -> usize {
        self.remember(question, KeyPrefix::new(question.namespace, question.labels), &mut answers);
        answers.values().filter(|answer| !answer.ttl.is_zero()).count()
    }

    fn remembered<'q>(&self, question: &Question<'q>, prefix: KeyPrefix) -> Answers<'q> {
        let now = question.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let pinned = question.images.iter().filter(|image| image.digest.is_some());
        let answers: Answers<'q> = pinned
            .filter_map(|AskedImage { reference, .. }| {
                Some((*reference, entries.get(prefix.key(reference), now)?))
            })
            .collect();
        self.hits.add(&[], answers.len() as u64);
        answers
    }

    /// Limits the answers' time to live, and keeps them for that long.
    fn remember<'q>(&self, question: &Question<'q>, prefix: KeyPrefix, answers: &mut Answers<'q>) {
        let now = question.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for AskedImage { reference, digest } in &question.images {
            let Some(answer) = answers.get_mut(reference) else { continue };
            if matches!(answer.verdict.level, Level::Unknown | Level::Unjudged) {
                // It says nothing against a verdict that another review has stored meanwhile.
                answer.ttl = Duration::ZERO;
                continue;
            }
            answer.ttl = answer.ttl.min(match digest {
                Some(_) => ttl_max(answer.verdict.level, self.ttl_max),
                None => Duration::ZERO,
            });
            entries.insert(prefix.key(reference), answer, now);
        }
    }
}

impl<L: PolicyLayer> PolicyLayer for Cache<L> {
    fn known<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        self.remembered(question, KeyPrefix::new(question.namespace, question.labels))
    }

    async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        let prefix = KeyPrefix::new(question.namespace, question.labels);
        let mut answers =
            if question.is_refresh { Answers::new() } else { self.remembered(question, prefix) };
        let images = question.images.iter().filter(|image| !answers.contains_key(image.reference));
        let missing = question.about(images.copied().collect());
        if !missing.images.is_empty() {
            let mut asked = self.inner.answers(&missing).await;
            self.remember(&missing, prefix, &mut asked);
            answers.extend(asked);
        }
        answers
    }
}

/// The longest that a verdict of this level is kept.
fn ttl_max(level: Level, ttl_max: Duration) -> Duration {
    match level {
        Level::Pass | Level::Warn => ttl_max,
        Level::Fail => ttl_max.min(FAIL_TTL_MAX),
        Level::Unknown | Level::Unjudged => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use zastava_core::clock::{Clock, ManualClock, Timestamp};
    use zastava_core::contract::{ImageResult, PolicyVerdict};
    use zastava_core::image::Digest;

    use super::*;
    use crate::policy::layer::{Answer, Origin};
    use crate::verdict::Verdict;

    /// Gives every image the same verdict for the same time.
    #[derive(Debug)]
    struct Constant(PolicyVerdict, Duration);

    impl PolicyLayer for Constant {
        async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
            let result = ImageResult { policy_verdict: Some(self.0), ..ImageResult::default() };
            let answer =
                Answer { ttl: self.1, ..Answer::once(Verdict::from_result(&result), Origin::Backend) };
            question.images.iter().map(|image| (image.reference, answer.clone())).collect()
        }
    }

    #[tokio::test]
    async fn time_to_live_is_the_shortest_that_anyone_names() {
        use PolicyVerdict::{Error, Fail, Pass, Warn};
        let digest = Some(Digest::of(b"image"));
        for (verdict, digest, answered, expected) in [
            (Pass, digest, u64::MAX, 300),
            (Warn, digest, u64::MAX, 300),
            (Pass, digest, 60, 60),
            (Pass, digest, 3600, 300),
            (Pass, digest, 0, 0),
            (Pass, None, 60, 0),
            (Fail, digest, u64::MAX, 30),
            (Fail, digest, 10, 10),
            (Error, digest, 60, 0),
        ] {
            let inner = Constant(verdict, Duration::from_secs(answered));
            let clock: Arc<dyn Clock> =
                Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_700_000_000)));
            let cache = Cache::new(inner, &AdmissionOptions::default(), &Telemetry::detached());
            let question = Question {
                namespace: "shop",
                labels: &BTreeMap::new(),
                images: vec![AskedImage { reference: "image", digest }],
                is_refresh: false,
                budget: Duration::from_secs(5),
                clock: &clock,
            };
            for origin in [Origin::Backend, if expected == 0 { Origin::Backend } else { Origin::Cache }] {
                let answer = &cache.answers(&question).await["image"];
                assert_eq!(answer.ttl, Duration::from_secs(expected), "{verdict:?} {answered}");
                assert_eq!(answer.origin, origin, "{verdict:?} {answered}");
            }
        }
    }
}
