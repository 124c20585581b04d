//! One call for an image, however many reviews want it at once.
//!
//! A call belongs to no review. It goes on when the review that began it has given up, so that the others
//! that wait are served, and so that a slow answer is remembered for those to come.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zastava_core::clock::Clock;
use zastava_core::image::Digest;

use super::key::{Key, KeyPrefix};
use super::layer::{Answer, Answers, AskedImage, Origin, PolicyLayer, Question};
use crate::verdict::{Rule, Verdict};

/// A call has at least so long, whatever the review that began it can wait: as long as API servers wait by default.
const CALL_TIME_MIN: Duration = Duration::from_secs(10);

/// Lets the reviews that want the same image share a call of the layer below.
#[derive(Debug)]
pub(crate) struct SingleFlight<L> {
    inner: Arc<L>,
    calls: Calls,
}

/// The calls under way, by image.
type Calls = Arc<Mutex<HashMap<Key, Landing>>>;
/// Where the answers of a call appear.
type Landing = watch::Receiver<Option<Arc<HashMap<String, Answer>>>>;

impl<L> SingleFlight<L> {
    pub(super) fn new(inner: L) -> Self {
        Self { inner: Arc::new(inner), calls: Calls::default() }
    }

    pub(super) fn inner(&self) -> &L {
        &self.inner
    }
}

impl<L: PolicyLayer + 'static> SingleFlight<L> {
    /// The calls that answer for these images. Those that nobody asks about yet are asked about in one new call.
    fn board<'q>(&self, question: &Question<'q>) -> Vec<(Landing, &'q str)> {
        let prefix = KeyPrefix::new(question.namespace, question.labels);
        let (landed, landing) = watch::channel(None);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut started = Vec::new();
        let mut boarded = Vec::with_capacity(question.images.len());
        for image in &question.images {
            let key = prefix.key(image.reference);
            let call = calls.entry(key).or_insert_with(|| {
                started.push((key, *image));
                landing.clone()
            });
            boarded.push((call.clone(), image.reference));
        }
        drop(calls);
        if !started.is_empty() {
            let (keys, images) = started.into_iter().unzip();
            let asked = OwnedQuestion::of(&question.about(images));
            let call = Call { keys, calls: Arc::clone(&self.calls) };
            tokio::spawn(call.run(Arc::clone(&self.inner), asked, landed));
        }
        boarded
    }

    /// Asks anew about verdicts that are still used and whose time is nearly up. Nobody waits for the answer.
    fn refresh(&self, question: &Question<'_>, answers: &Answers<'_>) {
        let is_ending =
            |image: &&AskedImage<'_>| answers.get(image.reference).is_some_and(|answer| answer.is_ending);
        let images: Vec<_> = question.images.iter().filter(is_ending).copied().collect();
        if !images.is_empty() {
            self.board(&Question { is_refresh: true, ..question.about(images) });
        }
    }
}

impl<L: PolicyLayer + 'static> PolicyLayer for SingleFlight<L> {
    fn known<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        self.inner.known(question)
    }

    async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        let mut answers = self.inner.known(question);
        self.refresh(question, &answers);
        let images = question.images.iter().filter(|image| !answers.contains_key(image.reference));
        let missing = question.about(images.copied().collect());
        if missing.images.is_empty() {
            return answers;
        }
        let deadline = Instant::now() + question.budget;
        for (mut landing, reference) in self.board(&missing) {
            let landed = timeout_at(deadline, landing.wait_for(Option::is_some)).await;
            let answer = match landed {
                Ok(Ok(landed)) => landed.as_ref().and_then(|answers| answers.get(reference).cloned()),
                // The call ended without an answer.
                Ok(Err(_)) => None,
                Err(_) => Some(late(question.budget)),
            };
            // An image without an answer has no verdict, which denies.
            answers.extend(answer.map(|answer| (reference, answer)));
        }
        answers
    }
}

fn late(budget: Duration) -> Answer {
    let reason = format!("no verdict within {} ms", budget.as_millis());
    Answer::once(Verdict::unknown(Rule::NoVerdict, reason), Origin::Backend)
}

/// A call under way. However it ends, nobody joins it any more.
struct Call {
    keys: Vec<Key>,
    calls: Calls,
}

impl Call {
    async fn run<L: PolicyLayer>(
        self,
        inner: Arc<L>,
        asked: OwnedQuestion,
        landed: watch::Sender<Option<Arc<HashMap<String, Answer>>>>,
    ) {
        let answers = inner.answers(&asked.question()).await;
        let answers = answers.into_iter().map(|(reference, answer)| (reference.to_owned(), answer)).collect();
        // First of all, so that whoever is answered finds what the layers below remember and no old call.
        drop(self);
        // Perhaps nobody waits any more.
        let _ = landed.send(Some(Arc::new(answers)));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            calls.remove(key);
        }
    }
}

/// A question that no review owns.
struct OwnedQuestion {
    namespace: String,
    labels: BTreeMap<String, String>,
    images: Vec<(String, Option<Digest>)>,
    is_refresh: bool,
    budget: Duration,
    clock: Arc<dyn Clock>,
}

impl OwnedQuestion {
    fn of(question: &Question<'_>) -> Self {
        let images = question.images.iter().map(|image| (image.reference.to_owned(), image.digest));
        Self {
            namespace: question.namespace.to_owned(),
            labels: question.labels.clone(),
            images: images.collect(),
            is_refresh: question.is_refresh,
            budget: question.budget.max(CALL_TIME_MIN),
            clock: Arc::clone(question.clock),
        }
    }

    fn question(&self) -> Question<'_> {
        let images = self.images.iter().map(|(reference, digest)| AskedImage { reference, digest: *digest });
        Question {
            namespace: &self.namespace,
            labels: &self.labels,
            images: images.collect(),
            is_refresh: self.is_refresh,
            budget: self.budget,
            clock: &self.clock,
        }
    }
}
