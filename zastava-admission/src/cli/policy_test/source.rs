//! Scanner, with its last answer kept.

use std::sync::{Arc, Mutex, PoisonError};

use zastava_admission::{PolicySource, async_trait};
use zastava_core::contract::{ImageResult, PolicyRequest, PolicyResponse, PolicyVerdict};
use zastava_core::http_service::BoxError;
use zastava_core::image::Digest;
use zastava_core::scanner::ScannerClient;

use crate::AnyError;

/// The repository of an image of which only the digest is known. No registry can have the name (RFC 2606, section 2).
const REPOSITORY: &str = "digest.invalid/image";

/// A reference for an image of which only the digest is known.
pub(super) fn by_digest(digest: Digest) -> String {
    format!("{REPOSITORY}@{digest}")
}

/// Asks Scanner, and keeps its answer. An image of which only the digest is known is asked by it.
#[derive(Clone, Debug)]
pub(super) struct Overheard {
    scanner: ScannerClient,
    last: Arc<Mutex<Option<Result<PolicyResponse, String>>>>,
}

/// What Scanner said.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) policy_revision: Option<String>,
    /// Of the image; nothing is set where Scanner has no result.
    pub(super) result: ImageResult,
}

impl Overheard {
    pub(super) fn new(scanner: ScannerClient) -> Self {
        Self { scanner, last: Arc::default() }
    }

    fn keep(&self, answer: Result<PolicyResponse, String>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// What Scanner said of the one image, or of that image in an index which has this verdict.
    pub(super) fn heard(
        &self,
        digest: Option<Digest>,
        verdict: PolicyVerdict,
    ) -> Result<Option<Heard>, AnyError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The text of a reference may settle it, and then nobody is asked.
        let Some(response) = last.transpose()? else { return Ok(None) };
        let by_digest = digest.and_then(|digest| response.results.get(&digest.to_string()));
        let results = || response.results.values();
        let decisive = || results().find(|result| result.policy_verdict == Some(verdict));
        let result = by_digest.or_else(decisive).or_else(|| results().next()).cloned().unwrap_or_default();
        Ok(Some(Heard { policy_revision: response.policy_revision, result }))
    }
}

#[async_trait]
impl PolicySource for Overheard {
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
        let bare = |image: &String| {
            let digest = image.strip_prefix(REPOSITORY).and_then(|rest| rest.strip_prefix('@'));
            digest.map_or_else(|| image.clone(), str::to_owned)
        };
        let request = PolicyRequest { images: request.images.iter().map(bare).collect(), ..request.clone() };
        // Whoever waits no longer drops this call.
        self.keep(Err("scanner did not answer in time".to_owned()));
        let answer = PolicySource::policy(&self.scanner, &request).await;
        self.keep(answer.as_ref().map(Clone::clone).map_err(|error| super::with_causes(&**error)));
        answer
    }
}
