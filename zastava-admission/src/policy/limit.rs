//! Bounds the calls of the policy source at once.

use tokio::sync::Semaphore;

use super::layer::{Answers, Origin, PolicyLayer, Question};
use crate::verdict::{Rule, Verdict};

/// Passes at most so many questions on at once. A question beyond that is answered without a verdict
/// at once: a queue would only use up the time of the reviews in it.
#[derive(Debug)]
pub(crate) struct Limit<L> {
    inner: L,
    permits: Semaphore,
}

impl<L> Limit<L> {
    pub(super) fn new(inner: L, questions_max: usize) -> Self {
        Self { inner, permits: Semaphore::new(questions_max.min(Semaphore::MAX_PERMITS)) }
    }
}

impl<L: PolicyLayer> PolicyLayer for Limit<L> {
    async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        match self.permits.try_acquire() {
            Ok(_permit) => self.inner.answers(question).await,
            Err(_) => {
                let verdict = Verdict::unknown(Rule::Overload, "too many calls wait for the policy source");
                question.answer_all(verdict, Origin::Overload)
            }
        }
    }
}
