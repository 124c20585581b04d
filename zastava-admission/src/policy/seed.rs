//! Verdicts with which a cache begins: questions to the policy source with their answers, one in each line. Pure.
//!
//! docs/design/admission.md#what-does-a-cache-begin-with

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zastava_core::clock::Clock;
use zastava_core::contract::{PolicyRequest, PolicyResponse};
use zastava_core::image::ImageReference;
use zastava_core::json;

use super::backend::answers_in;
use super::layer::{AskedImage, Question};
use super::{Policy, policy_labels};
use crate::text::name;
use crate::verdict::Level;

const NAME_LENGTH_MAX: usize = 200;
/// Faulty lines that are named one by one.
const FAULTS_NAMED_MAX: usize = 20;

/// A question and its answer, by the contract of the policy source.
#[derive(Debug, Deserialize)]
struct Exchange {
    request: PolicyRequest,
    response: PolicyResponse,
}

/// What became of a seed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sown {
    /// Verdicts that are remembered now.
    pub(crate) verdicts: usize,
    /// Lines whose time is over.
    pub(crate) ended: usize,
    /// Lines that have no effect otherwise.
    pub(crate) faulty: usize,
    /// The numbers of the first of them, and why.
    pub(crate) faults: Vec<(usize, String)>,
}

/// Reads a seed into the cache of the layers.
pub(crate) fn sow(text: &[u8], policy: &Policy, clock: &Arc<dyn Clock>) -> Sown {
    let mut sown = Sown::default();
    let mut revision = None;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match read(line, &mut revision, clock) {
            Ok(Some(exchange)) => match remember(&exchange, policy, clock) {
                Ok(verdicts) => sown.verdicts += verdicts,
                Err(fault) => sown.faulty(number, fault),
            },
            Ok(None) => sown.ended += 1,
            Err(fault) => sown.faulty(number, fault),
        }
    }
    sown
}

impl Sown {
    fn faulty(&mut self, line: usize, fault: String) {
        self.faulty += 1;
        if self.faults.len() < FAULTS_NAMED_MAX {
            self.faults.push((line, fault));
        }
    }
}

/// The exchange of a line; none when its time is over.
fn read(
    line: &[u8],
    revision: &mut Option<String>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Exchange>, String> {
    let exchange: Exchange = json::from_slice(line).map_err(|error| {
        format!("it is no question with its answer: {}", name(&error.to_string(), NAME_LENGTH_MAX))
    })?;
    let response = &exchange.response;
    let end = response.expires_at_utc.ok_or("its answer does not say when it ends (expiresAtUtc)")?;
    if end <= clock.now() {
        return Ok(None);
    }
    let made_by = response.policy_revision.clone().ok_or("its answer names no policyRevision")?;
    if *revision.get_or_insert_with(|| made_by.clone()) != made_by {
        return Err("another revision of the policy made its answer than that of the first line".to_owned());
    }
    Ok(Some(exchange))
}

/// The image as it is asked about. The answer names it in the same way.
fn asked(image: &String) -> Result<AskedImage<'_>, String> {
    let reference = image.parse::<ImageReference>().ok();
    let digest = reference.filter(|reference| reference.pinned().as_ref() == Some(image));
    let digest = digest.and_then(|reference| reference.digest());
    match digest {
        Some(digest) => Ok(AskedImage { reference: image, digest: Some(digest) }),
        None => Err(format!("{} is no complete reference with a digest", name(image, NAME_LENGTH_MAX))),
    }
}

/// Remembers the verdicts of an exchange as if its answer had just come. Returns how many.
fn remember(exchange: &Exchange, policy: &Policy, clock: &Arc<dyn Clock>) -> Result<usize, String> {
    let labels = policy_labels(&exchange.request.labels);
    let question = Question {
        namespace: exchange.request.namespace.as_deref().unwrap_or_default(),
        labels: &labels,
        images: exchange.request.images.iter().map(asked).collect::<Result<_, _>>()?,
        is_refresh: false,
        budget: Duration::ZERO,
        clock,
    };
    let answers = answers_in(&exchange.response, &question, false);
    let is_unknown = |image: &&AskedImage<'_>| {
        let answer = answers.get(image.reference);
        answer.is_none_or(|answer| matches!(answer.verdict.level, Level::Unknown | Level::Unjudged))
    };
    if let Some(image) = question.images.iter().find(is_unknown) {
        return Err(format!("its answer has no verdict on {}", name(image.reference, NAME_LENGTH_MAX)));
    }
    Ok(policy.inner().sow(&question, answers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_faulty_lines_the_first_are_kept() {
        let mut sown = Sown::default();
        (1..=1000).for_each(|line| sown.faulty(line, "it is none".to_owned()));
        assert_eq!((sown.faulty, sown.faults.len()), (1000, FAULTS_NAMED_MAX));
        assert_eq!(sown.faults[FAULTS_NAMED_MAX - 1].0, FAULTS_NAMED_MAX);
    }
}
