//! Who decides a review: a running webhook, or this process by its configuration.

mod answer;
mod webhook;

use std::time::Duration;

use zastava_admission::{PolicySource, Registries, Reviewer, WebhookOptions};
use zastava_authority::RuntimeCore;
use zastava_core::telemetry::Telemetry;

use super::request::Question;
use crate::AnyError;

pub(super) use answer::Answer;
pub(super) use webhook::{Webhook, WebhookArguments};

/// Decides reviews, with the webhook's own code either way.
#[derive(Debug)]
pub(super) enum Decider {
    /// The one that runs.
    Webhook(Webhook),
    /// A reviewer of its own, with the time that it has for each review.
    Own(Box<Reviewer>, Duration),
}

impl Decider {
    /// A reviewer as the configuration would have it serve. The source is asked in place of the webhook's.
    pub(super) fn own(
        options: WebhookOptions,
        source: impl PolicySource + 'static,
        timeout: Duration,
    ) -> Result<Self, AnyError> {
        let telemetry = Telemetry::detached();
        let reviewer = Reviewer::new(options.admission, source, &telemetry)
            .with_registries(Registries::connect(&options.registries, &telemetry)?)
            .with_replica(options.replica);
        Ok(Self::Own(Box::new(reviewer), timeout))
    }

    pub(super) async fn decide(&self, question: &Question) -> Result<Answer, AnyError> {
        match self {
            Self::Webhook(webhook) => Answer::read(&webhook.send(question).await?, &question.uid),
            Self::Own(reviewer, timeout) => {
                let reviewed = reviewer.review(&question.body, *timeout).await?;
                let mut answer = Answer::read(reviewed.response(), &question.uid)?;
                answer.images.clone_from(&reviewed.decision().images);
                Ok(answer)
            }
        }
    }
}

/// The connection to Scanner that the webhook would have.
pub(super) fn connect(options: &WebhookOptions) -> Result<RuntimeCore, AnyError> {
    Ok(RuntimeCore::connect(&options.runtime, &options.backend, &Telemetry::detached())?)
}
