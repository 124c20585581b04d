//! From a review's bytes to its answer: the part to embed.

mod asking;
mod metrics;
mod namespaces;
mod reviewed;
mod warming;

use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::{Clock, SystemClock};
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::telemetry::Telemetry;

use crate::assessment::{AssessedObject, Assessment};
use crate::candidate::Candidate;
use crate::decision::{Circumstances, Decision};
use crate::error::Error;
use crate::judgement::Judgement;
use crate::options::AdmissionOptions;
use crate::policy::{Policy, PolicySource, layers, policy_labels};
use crate::resolve::Registries;
use crate::review::{Object, Pod, Subject};
use asking::Asking;
use metrics::Metrics;
use namespaces::Namespaces;

pub(crate) use metrics::Watch;
pub(crate) use namespaces::log_exceptions;
pub use reviewed::Reviewed;

/// Decides reviews. Share it by reference; reviews run independently of each other.
#[derive(Debug)]
pub struct Reviewer {
    options: AdmissionOptions,
    policy: Policy,
    registries: Registries,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    namespaces: Namespaces,
    replica: String,
}

impl Reviewer {
    /// A reviewer with an empty cache that uses the system's clock.
    #[must_use]
    pub fn new(
        options: AdmissionOptions,
        source: impl PolicySource + 'static,
        telemetry: &Telemetry,
    ) -> Self {
        Self {
            policy: layers(source, &options, telemetry),
            registries: Registries::default(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::new(telemetry),
            namespaces: Namespaces::new(&options, telemetry),
            replica: String::new(),
            options,
        }
    }

    /// Asks registries for the digests of tags. Without them the policy source is asked about a tag.
    #[must_use]
    pub fn with_registries(self, registries: Registries) -> Self {
        Self { registries, ..self }
    }

    /// Names the replica in its decisions.
    #[must_use]
    pub fn with_replica(self, replica: impl Into<String>) -> Self {
        Self { replica: replica.into(), ..self }
    }

    /// What differs for single namespaces, for `/status`.
    pub(crate) fn status(&self) -> impl Fn() -> serde_json::Value + Send + use<> {
        let (options, namespaces) = (self.options.clone(), self.namespaces.clone());
        let clock = Arc::clone(&self.clock);
        move || namespaces.status(&options, clock.now())
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Decides the AdmissionReview in `body`.
    ///
    /// Asks the policy source once, and once more about the images in an index that has no verdict. It waits at most `budget`
    /// for both. The namespace's failure
    /// mode decides when no answer comes in time.
    ///
    /// # Errors
    /// Only when the body is not an AdmissionReview of v1 with a uid. Everything else has an answer.
    pub async fn review(&self, body: &[u8], budget: Duration) -> Result<Reviewed, Error> {
        let watch = self.metrics.start();
        let subject = Subject::read(body)?;
        Ok(self.decide(&subject, budget, watch).await)
    }

    /// Decides a review whose body is gone.
    pub(crate) async fn decide(&self, subject: &Subject, budget: Duration, watch: Watch<'_>) -> Reviewed {
        let now = self.clock.now();
        let namespace = &subject.head.namespace;
        let assessment = self.assess(subject, budget).await;
        let failure_mode = self.options.failure_mode(namespace, now);
        let exception = self.options.exception(namespace, now);
        let enforcement = exception.map_or(self.options.enforcement, |exception| exception.enforcement);
        let judgement = Judgement::of(assessment.levels(), failure_mode, enforcement);
        self.namespaces.count(namespace, exception, judgement);
        let circumstances = Circumstances { time: now, replica: &self.replica, exception };
        let decision = Decision::new(&subject.head, assessment, judgement, circumstances);
        watch.stop(decision.decided_by(), decision.decision());
        let envelope = AdmissionDecisionEnvelope::new(decision.record());
        Reviewed { response: decision.answer(), envelope }
    }

    /// Begins to count and time a review.
    pub(crate) fn start(&self) -> Watch<'_> {
        self.metrics.start()
    }

    async fn assess<'r>(&self, subject: &'r Subject, budget: Duration) -> Assessment<'r> {
        let object = match &subject.object {
            Object::Pod(pod) => {
                AssessedObject::Images(self.candidates(&subject.head.namespace, pod, budget).await)
            }
            Object::Unchanged { relabelled } => AssessedObject::Unchanged { relabelled: *relabelled },
            Object::NoImages(reason) => AssessedObject::NoImages(reason),
            Object::Refused(verdict) => AssessedObject::Refused(verdict.clone()),
        };
        Assessment { object, pod_spec_digest: subject.pod_spec_digest }
    }

    /// The pod's images with their verdicts.
    async fn candidates<'r>(&self, namespace: &str, pod: &'r Pod, budget: Duration) -> Vec<Candidate<'r>> {
        let labels = policy_labels(&pod.labels);
        let candidates = Candidate::all(pod, &self.options, self.registries.mirrors());
        let asking = Asking {
            policy: &self.policy,
            registries: &self.registries,
            clock: &self.clock,
            namespace,
            labels: &labels,
        };
        asking.answered(candidates, budget).await
    }
}
