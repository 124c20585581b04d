//! Stops asking a policy source that does not answer, and finds out when it answers again.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use zastava_core::telemetry::{ADMISSION_BREAKER_OPEN, Gauge, Telemetry};

use super::layer::{Answers, Origin, PolicyLayer, Question};
use crate::circuit::{Admission, Circuit};
use crate::verdict::{Level, Rule, Verdict};

/// Log scope of questions without an answer.
const SCOPE: &str = "admission.review";

/// Answers without a verdict at once while the layer below does not answer
/// (docs/design/admission.md#when-is-the-policy-source-no-longer-asked).
#[derive(Debug)]
pub(crate) struct Breaker<L> {
    inner: L,
    circuit: Mutex<Circuit>,
    open: Gauge,
}

impl<L> Breaker<L> {
    pub(super) fn new(inner: L, telemetry: &Telemetry) -> Self {
        let open = telemetry.gauge(ADMISSION_BREAKER_OPEN);
        open.set(&[], 0.0);
        Self { inner, circuit: Mutex::default(), open }
    }

    /// Changes the circuit, and shows it when it has opened or closed.
    fn change<T>(&self, change: impl FnOnce(&mut Circuit, Instant) -> T) -> T {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = circuit.is_open();
        let changed = change(&mut circuit, Instant::now());
        let is_open = circuit.is_open();
        if is_open != was_open {
            self.open.set(&[], f64::from(u8::from(is_open)));
            match is_open {
                true => tracing::warn!(
                    scope = SCOPE,
                    "the policy source does not answer; it is only probed until it does"
                ),
                false => tracing::info!(scope = SCOPE, "the policy source answers again"),
            }
        }
        changed
    }
}

impl<L: PolicyLayer> PolicyLayer for Breaker<L> {
    async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        let Admission::Asked(number) = self.change(Circuit::ask) else {
            let reason = "the policy source has not answered for a while and is asked again in a moment";
            return question.answer_all(Verdict::unknown(Rule::NoVerdict, reason), Origin::Breaker);
        };
        let mut asking = Asking { breaker: self, number, is_answered: false };
        let answers = self.inner.answers(question).await;
        asking.is_answered = answers.values().any(|answer| answer.verdict.level != Level::Unknown);
        answers
    }
}

/// A question under way. One that is given up was not answered.
struct Asking<'b, L> {
    breaker: &'b Breaker<L>,
    number: u64,
    is_answered: bool,
}

impl<L> Drop for Asking<'_, L> {
    fn drop(&mut self) {
        let (number, is_answered) = (self.number, self.is_answered);
        self.breaker.change(|circuit, now| circuit.ended(number, is_answered, now));
    }
}
