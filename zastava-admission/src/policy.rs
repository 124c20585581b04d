//! Where verdicts come from: a policy source, and the layers between it and a review.
//!
//! | layer, from the review down | what it does |
//! | --- | --- |
//! | [`SingleFlight`](flight::SingleFlight) | lets the reviews that want the same image share a call |
//! | [`Cache`](cache::Cache) | answers with verdicts that still hold, asks below for the other images, remembers |
//! | [`Limit`](limit::Limit) | lets a bounded number of questions through at once, sheds the rest |
//! | [`Breaker`](breaker::Breaker) | stops asking a policy source that does not answer |
//! | [`Backend`](backend::Backend) | asks the policy source once, within the review's time |
//!
//! Every layer is a [`PolicyLayer`](layer::PolicyLayer). See
//! docs/design/admission.md#why-do-the-layers-around-a-policy-source-have-a-trait-of-their-own.

mod backend;
mod breaker;
mod cache;
mod flight;
mod key;
mod labels;
mod layer;
mod limit;
mod scanner;
mod seed;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zastava_core::contract::{PolicyRequest, PolicyResponse};
use zastava_core::http_service::BoxError;
use zastava_core::telemetry::Telemetry;

pub use labels::policy_labels;
pub(crate) use layer::{Answer, Answers, AskedImage, Origin, PolicyLayer, Question};
pub(crate) use seed::{Sown, sow};

use crate::options::AdmissionOptions;
use backend::Backend;
use breaker::Breaker;
use cache::Cache;
use flight::SingleFlight;
use limit::Limit;

/// Gives verdicts on images: Scanner, or an embedder's own.
///
/// Many calls run at once. Reviews that want the same image share one, which goes on when they have given up; it is
/// dropped after ten seconds, or when the time of the review that began it is up, whichever is later.
#[async_trait]
pub trait PolicySource: Send + Sync + fmt::Debug {
    /// A verdict on every image of the request. An error means that no image has a verdict; so does
    /// a missing result for that image.
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError>;
}

/// What a reviewer asks: the source below all layers.
pub(crate) type Policy = SingleFlight<Cache<Limit<Breaker<Backend>>>>;

/// Puts the layers around a source.
pub(crate) fn layers(
    source: impl PolicySource + 'static,
    options: &AdmissionOptions,
    telemetry: &Telemetry,
) -> Policy {
    let backend = Backend::new(Arc::new(source), options.fail_open_on_errors);
    let limited = Limit::new(Breaker::new(backend, telemetry), options.max_in_flight);
    SingleFlight::new(Cache::new(limited, options, telemetry))
}
