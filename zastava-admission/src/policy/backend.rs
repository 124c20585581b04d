//! The innermost layer: one call of the policy source for all images of a question.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{PolicyRequest, PolicyResponse};
use zastava_core::image::Digest;
use zastava_core::scanner::ScannerError;

use super::PolicySource;
use super::layer::{Answer, Answers, AskedImage, Origin, PolicyLayer, Question};
use crate::text::printable;
use crate::verdict::{Level, Rule, Verdict};

/// Log scope of questions without an answer.
const SCOPE: &str = "admission.review";
const REASON_LENGTH_MAX: usize = 200;

/// Asks a policy source.
#[derive(Debug)]
pub(crate) struct Backend {
    source: Arc<dyn PolicySource>,
    /// Whether an image without a verdict in an answer counts as one that nobody answered for.
    errors_are_silence: bool,
}

impl Backend {
    pub(super) fn new(source: Arc<dyn PolicySource>, errors_are_silence: bool) -> Self {
        Self { source, errors_are_silence }
    }

    /// The source's response, or the verdict that all images have without one.
    async fn ask(&self, question: &Question<'_>) -> Result<PolicyResponse, Verdict> {
        let request = PolicyRequest {
            namespace: Some(question.namespace.to_owned()).filter(|name| !name.is_empty()),
            labels: question.labels.clone(),
            images: question.images.iter().map(|image| image.reference.to_owned()).collect(),
        };
        let budget_ms = question.budget.as_millis() as u64;
        match tokio::time::timeout(question.budget, self.source.policy(&request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                tracing::warn!(scope = SCOPE, error = &*error as &dyn Error, "no verdict");
                let reason = printable(&error.to_string(), REASON_LENGTH_MAX);
                Err(match error.downcast_ref::<ScannerError>() {
                    Some(error) if is_unanswerable(error) => Verdict::refused(Rule::Unanswerable, reason),
                    Some(ScannerError::Malformed(_)) => {
                        silenced(Verdict::unjudged(reason), self.errors_are_silence)
                    }
                    _ => Verdict::unknown(Rule::NoVerdict, reason),
                })
            }
            Err(_) => {
                tracing::warn!(scope = SCOPE, budget_ms, "no verdict in time");
                Err(Verdict::unknown(Rule::NoVerdict, format!("no verdict within {budget_ms} ms")))
            }
        }
    }
}

impl PolicyLayer for Backend {
    async fn answers<'q>(&self, question: &Question<'q>) -> Answers<'q> {
        let response = match self.ask(question).await {
            Ok(response) => response,
            Err(verdict) => return question.answer_all(verdict, Origin::Backend),
        };
        answers_in(&response, question, self.errors_are_silence)
    }
}

/// What a response that has just come says of each image of the question.
pub(super) fn answers_in<'q>(
    response: &PolicyResponse,
    question: &Question<'q>,
    errors_are_silence: bool,
) -> Answers<'q> {
    // A time to live counts from the response's arrival.
    let now = question.clock.now();
    if let Some(end) = response.expires_at_utc.filter(|end| *end <= now) {
        let reason = format!("the policy source's answer held until {end}, and came at {now}");
        return question.answer_all(Verdict::unknown(Rule::NoVerdict, reason), Origin::Backend);
    }
    let ttl = time_to_live(response, now);
    let revision = response.policy_revision.as_ref().map(|revision| Digest::of(revision.as_bytes()));
    let answer = |verdict: Verdict| Answer {
        ttl,
        revision,
        ..Answer::once(silenced(verdict, errors_are_silence), Origin::Backend)
    };
    let images = question.images.iter();
    images.map(|image| (image.reference, answer(verdict(response, image)))).collect()
}

/// The verdict, or nobody's if an answer without one counts as silence.
fn silenced(mut verdict: Verdict, errors_are_silence: bool) -> Verdict {
    if verdict.level == Level::Unjudged && errors_are_silence {
        verdict.level = Level::Unknown;
    }
    verdict
}

/// The response's verdict on the image. It may stand under the reference, the digest, or both.
fn verdict(response: &PolicyResponse, image: &AskedImage<'_>) -> Verdict {
    let Some(result) = response.result(image.reference, image.digest) else {
        return Verdict::unjudged("the policy source's answer leaves the image out");
    };
    let by_digest = image.digest.and_then(|digest| response.results.get(&digest.to_string()));
    if by_digest.is_some_and(|other| other.policy_verdict != result.policy_verdict) {
        return Verdict::unjudged("the policy source's answer has two verdicts on the image");
    }
    Verdict::from_result(result)
}

/// How long the response says that it holds; without bound when it does not say.
fn time_to_live(response: &PolicyResponse, now: Timestamp) -> Duration {
    let ttl = response.ttl_seconds.map(Duration::from_secs);
    let expiry = response.expires_at_utc.map(|end| end.saturating_since(now));
    [ttl, expiry].into_iter().flatten().fold(Duration::MAX, Duration::min)
}

/// Whether Scanner answered that it will not take this question. The question's author caused that,
/// and must not profit from a namespace that fails open.
///
/// docs/design/admission.md#what-is-a-question-that-scanner-refuses-with-400-413-or-422
fn is_unanswerable(error: &ScannerError) -> bool {
    error.is_rejected_content() || error.is_too_large()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_live_is_the_shorter_of_the_two_that_a_response_names() {
        let at = |seconds: i64| Timestamp::from_unix_seconds(1_700_000_000 + seconds);
        for (ttl_seconds, expires_at_utc, expected) in [
            (None, None, Duration::MAX),
            (Some(60), None, Duration::from_secs(60)),
            (Some(60), Some(at(20)), Duration::from_secs(20)),
            (None, Some(at(-5)), Duration::ZERO),
            (Some(0), None, Duration::ZERO),
        ] {
            let response = PolicyResponse { ttl_seconds, expires_at_utc, ..PolicyResponse::default() };
            assert_eq!(time_to_live(&response, at(0)), expected, "{ttl_seconds:?} {expires_at_utc:?}");
        }
    }
}
