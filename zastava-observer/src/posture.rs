//! What Scanner knows about the signatures of the images that run.
//!
//! One request asks for an image of a namespace, however many of its containers start meanwhile. Answers are kept as long as
//! Scanner says. While Scanner cannot be asked, an old answer serves for some time and is marked
//! (docs/design/observer.md#when-is-an-images-posture-told).

mod cache;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{Attestation, ImageResult, PolicyRequest, PolicyResponse, Posture};
use zastava_core::image::ImageReference;
use zastava_core::scanner::{ScannerClient, ScannerError};

use self::cache::{Cache, Kept};
use crate::options::PostureOptions;
use crate::workload::Workload;

/// A start waits no longer for an answer.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(50);
/// How long an answer counts if Scanner does not say, and at least and at most.
const TTL_DEFAULT: Duration = Duration::from_secs(300);
const TTL_MIN: Duration = Duration::from_secs(5);
const TTL_MAX: Duration = Duration::from_secs(86_400);
/// After a failure Scanner is not asked for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// The most questions under way.
const QUESTIONS_MAX: usize = 4;

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Now(Posture),
    /// As Scanner said it earlier, and why it does not say it now.
    Earlier(Posture, String),
    /// Why nothing is known.
    Nothing(String),
}

/// An image in a namespace: what Scanner is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    namespace: Option<String>,
    image: ImageReference,
    asked: String,
}

/// An answer that may be on its way.
pub(crate) type Answer = Shared<BoxFuture<'static, Known>>;

/// Asks Scanner. Cheap to clone; clones share what is known.
#[derive(Clone, Debug)]
pub(crate) struct Postures(Option<Arc<Asker>>);

#[derive(Debug)]
struct Asker {
    scanner: ScannerClient,
    fallback_ttl: Duration,
    cache: Mutex<Cache<Question>>,
    permits: Semaphore,
}

impl Postures {
    pub(crate) fn new(scanner: ScannerClient, options: &PostureOptions) -> Self {
        let (fallback_ttl, cache) = (options.fallback_ttl, Mutex::default());
        let permits = Semaphore::new(QUESTIONS_MAX);
        Self(options.is_enabled.then(|| Arc::new(Asker { scanner, fallback_ttl, cache, permits })))
    }

    /// The posture of a workload's image; `None` if it is not wanted, or the workload has no image.
    pub(crate) fn look_up(&self, workload: &Workload) -> Option<Answer> {
        let asker = self.0.as_ref()?;
        let image = workload.description.image_ref.as_deref()?;
        // A name may lead to another image by now.
        let reference = image.parse::<ImageReference>().ok();
        let Some((image, asked)) = reference.and_then(|image| image.pinned().map(|asked| (image, asked)))
        else {
            let reason = "not asked, since the image's digest is not known".to_owned();
            return Some(std::future::ready(Known::Nothing(reason)).boxed().shared());
        };
        let namespace = workload.description.namespace.clone();
        Some(Arc::clone(asker).look_up(Question { namespace, image, asked }))
    }
}

impl Asker {
    fn look_up(self: Arc<Self>, question: Question) -> Answer {
        let now = Instant::now();
        let mut cache = self.lock();
        if let Some(posture) = cache.fresh(&question, now) {
            return std::future::ready(Known::Now(posture)).boxed().shared();
        }
        if let Some(asked) = cache.under_way(&question) {
            return asked;
        }
        let asker = Arc::clone(&self);
        let of = question.clone();
        let answer = async move { asker.ask(of).await }.boxed().shared();
        cache.asks(question, answer.clone());
        answer
    }

    async fn ask(&self, question: Question) -> Known {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let paused = self.lock().pause(Instant::now());
        let answered = match paused {
            Some(reason) => Err(reason),
            None => self.request(&question).await,
        };
        let now = Instant::now();
        let mut cache = self.lock();
        match answered {
            Ok((posture, ttl)) => {
                let kept = Kept { posture: posture.clone(), until: now + ttl };
                cache.answered(question, kept);
                Known::Now(posture)
            }
            Err(reason) => match cache.failed(&question, now, self.fallback_ttl) {
                Some(posture) => Known::Earlier(posture, reason),
                None => Known::Nothing(reason),
            },
        }
    }

    /// Asks Scanner; the reason why there is no answer.
    async fn request(&self, question: &Question) -> Result<(Posture, Duration), String> {
        let images = vec![question.asked.clone()];
        let request =
            PolicyRequest { namespace: question.namespace.clone(), images, ..PolicyRequest::default() };
        let answer = self.scanner.policy(&request).await.map_err(|error| self.refused(&error))?;
        let found = answer.result(&question.asked, question.image.digest());
        let posture = found.map(posture).ok_or("Scanner's answer does not name the image")?;
        Ok((posture, time_to_live(&answer)))
    }

    fn refused(&self, error: &ScannerError) -> String {
        let pause = error.retry_after().unwrap_or_default().clamp(PAUSE, TTL_MAX);
        let reason = zastava_core::program::with_causes(error);
        tracing::warn!(error = error as &dyn std::error::Error, "Scanner did not say how images are signed");
        self.lock().pauses(Instant::now() + pause, &reason);
        reason
    }

    fn lock(&self) -> MutexGuard<'_, Cache<Question>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn posture(result: &ImageResult) -> Posture {
    let attestation =
        result.rekor.as_ref().map(|rekor| Attestation { uuid: rekor.uuid.clone(), verified: rekor.verified });
    let sbom_referrer =
        result.has_sbom_referrers.map(|has| if has { "present" } else { "missing" }.to_owned());
    Posture { image_signed: result.signed, sbom_referrer, attestation }
}

fn time_to_live(answer: &PolicyResponse) -> Duration {
    let of_seconds = answer.ttl_seconds.map(Duration::from_secs);
    let until = answer.expires_at_utc.map(|at| at.saturating_since(Timestamp::now()));
    let ttl = of_seconds.into_iter().chain(until).min().unwrap_or(TTL_DEFAULT);
    ttl.clamp(TTL_MIN, TTL_MAX)
}

#[cfg(test)]
mod tests;
