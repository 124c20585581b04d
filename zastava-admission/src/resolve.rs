//! From the text of an image field to the question that Scanner is asked.
//!
//! A verdict is bound to a digest. `name:tag@digest` is judged by its digest, as it is pulled by
//! it. A tag alone can be asked about and is never remembered: the next pull may get another image.

use std::collections::BTreeMap;

use zastava_core::image::{Digest, ImageReference};

use crate::text::shown;
use crate::verdict::{ImageVerdict, Rule};

/// How an image is judged.
#[derive(Debug)]
pub(crate) enum Target {
    /// Asked by its digest; the verdict may be remembered.
    Pinned(Digest, String),
    /// Asked by its tag, for this review only.
    Tag(String),
    /// Not asked: the text alone decides.
    Settled(ImageVerdict),
}

impl Target {
    pub(crate) fn of(reference: &str, resolve_tags: bool) -> Self {
        if reference.trim().is_empty() {
            return Self::Settled(ImageVerdict::refused(Rule::BlankImage, "a container names no image"));
        }
        let image: ImageReference = match reference.parse() {
            Ok(image) => image,
            Err(error) => {
                let reason = format!("the reference cannot be read: {error}");
                return Self::Settled(ImageVerdict::refused(Rule::MalformedReference, reason));
            }
        };
        match image.digest().zip(image.pinned()) {
            Some((digest, pinned)) => Self::Pinned(digest, pinned),
            None if resolve_tags => Self::Tag(image.to_string()),
            None => {
                let reason = format!("the tag {} can move to another image", image.tag().unwrap_or("latest"));
                Self::Settled(ImageVerdict::unknown(Rule::UnpinnedTag, shown(&reason, 200)))
            }
        }
    }

    /// The reference as Scanner is asked about it.
    pub(crate) fn asked(&self) -> Option<&str> {
        match self {
            Self::Pinned(_, asked) | Self::Tag(asked) => Some(asked),
            Self::Settled(_) => None,
        }
    }

    /// `registry/repository@sha256:…`
    pub(crate) fn pinned(&self) -> Option<&str> {
        match self {
            Self::Pinned(_, pinned) => Some(pinned),
            _ => None,
        }
    }
}

/// Labels that controllers invent for each generation or pod.
const GENERATED_LABELS: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// The labels that Scanner is told of. A verdict may depend on every one of them, so that they are
/// part of a remembered verdict's key; generated ones are left out of both, or no two pods of a
/// workload would share a verdict.
pub(crate) fn policy_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let invented = |name: &String| GENERATED_LABELS.contains(&name.as_str());
    labels.iter().filter(|(name, _)| !invented(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}
