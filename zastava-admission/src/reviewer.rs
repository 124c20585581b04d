//! From a review's bytes to its answer: the part to embed.

mod findings;
mod metrics;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use zastava_core::clock::{Clock, SystemClock, Timestamp};
use zastava_core::contract::{AdmissionDecisionEnvelope, PolicyRequest, PolicyResponse, canonical_digest};
use zastava_core::image::Digest;
use zastava_core::scanner::ScannerError;
use zastava_core::telemetry::Telemetry;

use crate::cache::{Scope, VerdictCache, time_to_live};
use crate::error::Error;
use crate::options::AdmissionOptions;
use crate::resolve::{Target, policy_labels};
use crate::review::{PodSpec, Review, Subject};
use crate::source::PolicySource;
use crate::text::shown;
use crate::verdict::{ImageVerdict, Rule, conclude, response};
use findings::{Findings, Known};
use metrics::{Metrics, Source};

/// Log scope of what goes wrong while a review is decided.
const SCOPE: &str = "admission.review";
/// Specs up to this size take less time than handing them to another thread is worth.
const DIGEST_INLINE_BYTES_MAX: usize = 64 << 10;

/// Decides reviews. Shared by reference; every review runs for itself.
#[derive(Debug)]
pub struct Reviewer {
    options: AdmissionOptions,
    source: Box<dyn PolicySource>,
    clock: Arc<dyn Clock>,
    cache: Mutex<VerdictCache>,
    permits: Semaphore,
    metrics: Metrics,
}

/// A review with its answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reviewed {
    /// The body of the answer: an AdmissionReview in JSON.
    pub response: Bytes,
    /// The same decision for logs and embedders.
    pub decision: AdmissionDecisionEnvelope,
}

impl Reviewer {
    /// A reviewer with an empty cache, by the system's clock.
    #[must_use]
    pub fn new(
        options: AdmissionOptions,
        source: impl PolicySource + 'static,
        telemetry: &Telemetry,
    ) -> Self {
        Self {
            source: Box::new(source),
            clock: Arc::new(SystemClock),
            cache: Mutex::default(),
            permits: Semaphore::new(options.max_in_flight.min(Semaphore::MAX_PERMITS)),
            metrics: Metrics::new(telemetry),
            options,
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Decides the AdmissionReview in `body`. The source is asked at most once and for `budget` at
    /// most; when it does not answer in time, the namespace's failure mode decides.
    ///
    /// # Errors
    /// Only when the body is no AdmissionReview of v1 with a uid. Everything else has an answer.
    pub async fn review(&self, body: &[u8], budget: Duration) -> Result<Reviewed, Error> {
        let watch = self.metrics.start();
        let review = Review::parse(body)?;
        let now = self.clock.now();
        let findings = match review.subject() {
            Subject::Pod(pod) => self.judge(review.namespace(), &pod, budget, now).await,
            Subject::Unchanged(pod) => Findings::settled(Source::Unchanged, digest(&pod).await),
            Subject::NoImages(reason) => Findings::no_images(reason),
            Subject::Refused { rule, reason } => Findings::refused(rule, reason, None),
        };
        let mode = self.options.failure_mode(review.namespace(), now);
        let refusal = findings.refusal.as_ref();
        let outcome = conclude(&findings.images, refusal, review.namespace(), mode, self.options.enforce);
        let source = findings.decided_by(&outcome);
        watch.stop(source, outcome.decision);
        let response = response(review.uid(), &outcome);
        let decision = AdmissionDecisionEnvelope::new(findings.decision(&review, outcome, source));
        Ok(Reviewed { response, decision })
    }

    /// Judges every image of a pod: by its text, by the cache, by one question for all the rest.
    async fn judge(&self, namespace: &str, pod: &PodSpec<'_>, budget: Duration, now: Timestamp) -> Findings {
        let digest = digest(pod).await;
        let names = distinct_images(pod);
        let targets: Vec<_> = names.iter().map(|name| Target::of(name, self.options.resolve_tags)).collect();
        let labels = policy_labels(pod.labels());
        let scope = Scope::new(namespace, &labels);
        let mut known = self.remembered(&targets, &scope, now);
        let missing = unknown_to(&known, &targets);
        let mut source = if known.is_empty() { Source::Rule } else { Source::Cache };
        if !missing.is_empty() {
            source = Source::Backend;
            match self.ask(namespace, labels, &missing, budget).await {
                Ok(answer) => self.learn(&answer, &targets, &scope, &mut known),
                Err(unknown) => {
                    source = if unknown.rule == Rule::Overload { Source::Overload } else { source };
                    let unknown = Arc::new(unknown);
                    known.extend(
                        missing.into_iter().map(|asked| (asked, (Arc::clone(&unknown), Duration::ZERO))),
                    );
                }
            }
        }
        Findings::judged(names, targets, &known, source, digest)
    }

    fn remembered(&self, targets: &[Target], scope: &Scope, now: Timestamp) -> Known {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let pinned: HashSet<_> = targets.iter().filter_map(Target::pinned).collect();
        let found = |pinned: &str| Some((pinned.to_owned(), cache.get(scope.key(pinned), now)?));
        let known: Known = pinned.into_iter().filter_map(found).collect();
        self.metrics.count_cache_hits(known.len());
        known
    }

    /// Asks the source, if there is room and time. What could not be asked has an `error` verdict.
    async fn ask(
        &self,
        namespace: &str,
        labels: BTreeMap<String, String>,
        images: &[String],
        budget: Duration,
    ) -> Result<PolicyResponse, ImageVerdict> {
        let Ok(_permit) = self.permits.try_acquire() else {
            let reason = "too many reviews wait for scanner";
            return Err(ImageVerdict::unknown(Rule::Overload, reason));
        };
        let namespace = Some(namespace.to_owned()).filter(|name| !name.is_empty());
        let request = PolicyRequest { namespace, labels, images: images.to_vec() };
        let reason = match tokio::time::timeout(budget, self.source.policy(&request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(scope = SCOPE, error = &*error as &dyn std::error::Error, "no verdict");
                let reason = shown(&error.to_string(), 200);
                if is_unanswerable(&*error) {
                    return Err(ImageVerdict::refused(Rule::Unanswerable, reason));
                }
                reason
            }
            Err(_) => {
                tracing::warn!(scope = SCOPE, budget_ms = budget.as_millis() as u64, "no verdict in time");
                format!("no verdict within {} ms", budget.as_millis())
            }
        };
        Err(ImageVerdict::unknown(Rule::NoVerdict, reason))
    }

    /// Takes the answer's results over, and remembers those for pinned references.
    fn learn(&self, answer: &PolicyResponse, targets: &[Target], scope: &Scope, known: &mut Known) {
        // The answer's time to live counts from its arrival.
        let now = self.clock.now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for target in targets {
            let Some(asked) = target.asked().filter(|asked| !known.contains_key(*asked)) else { continue };
            let digest = match target {
                Target::Pinned(digest, _) => Some(*digest),
                _ => None,
            };
            let verdict = Arc::new(match answer.result(asked, digest) {
                Some(result) => ImageVerdict::from_result(result),
                None => ImageVerdict::unknown(Rule::NoVerdict, "scanner's answer leaves the image out"),
            });
            let mut ttl = Duration::ZERO;
            if let Some(pinned) = target.pinned() {
                ttl = time_to_live(verdict.policy, answer, self.options.cache_ttl, now);
                cache.insert(scope.key(pinned), Arc::clone(&verdict), ttl, now);
            }
            known.insert(asked.to_owned(), (verdict, ttl));
        }
    }
}

/// The images as written, each once, in the order of the spec. A template may leave an image
/// blank for a later hand to fill in; the pod is judged then.
fn distinct_images<'p>(pod: &'p PodSpec<'_>) -> Vec<&'p str> {
    let mut seen = HashSet::new();
    let names = pod.images().iter().map(|image| &*image.reference);
    names
        .filter(|name| !(pod.is_template() && name.trim().is_empty()))
        .filter(|name| seen.insert(*name))
        .collect()
}

/// What must be asked, each once, in the order of the spec.
fn unknown_to(known: &Known, targets: &[Target]) -> Vec<String> {
    let mut seen = HashSet::new();
    let asked = targets.iter().filter_map(Target::asked);
    asked.filter(|asked| !known.contains_key(*asked) && seen.insert(*asked)).map(str::to_owned).collect()
}

/// Scanner answers and will not take this question: its author's doing, and so no silence of
/// Scanner's that a failure mode would speak for.
fn is_unanswerable(error: &(dyn std::error::Error + 'static)) -> bool {
    let refused = error.downcast_ref::<ScannerError>();
    refused.is_some_and(|error| error.is_rejected_content() || error.is_too_large())
}

/// The spec's digest; a large one is made where blocking is allowed, so that other reviews go on.
async fn digest(pod: &PodSpec<'_>) -> Option<Digest> {
    let spec = pod.spec();
    if spec.get().len() <= DIGEST_INLINE_BYTES_MAX {
        return pod.digest();
    }
    let spec = spec.to_owned();
    let digest = tokio::task::spawn_blocking(move || canonical_digest(&spec).ok());
    // A panic of ours was reported by then; the decision does without the digest.
    digest.await.ok().flatten()
}
