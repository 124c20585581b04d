//! What a decision needs of a review. It outlives the review's body, so that a slow policy source holds no bodies.

use zastava_core::image::Digest;

use super::head::Head;
use super::pod::Pod;
use super::{Review, ReviewObject};
use crate::verdict::Verdict;

/// A review that has been read.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) head: Head,
    pub(crate) object: Object,
    /// Of a pod's spec.
    pub(crate) pod_spec_digest: Option<Digest>,
}

/// [`ReviewObject`] without the body.
#[derive(Debug)]
pub(crate) enum Object {
    Pod(Pod),
    Unchanged {
        /// Whether labels that a policy source is sent have changed.
        relabelled: bool,
    },
    NoImages(&'static str),
    Refused(Verdict),
}

impl Subject {
    /// Reads and hashes the object.
    pub(crate) fn of(review: &Review<'_>) -> Self {
        let object = review.object();
        let pod_spec_digest = match &object {
            ReviewObject::Pod(pod) | ReviewObject::Unchanged(pod) => pod.digest(),
            _ => None,
        };
        let object = match object {
            ReviewObject::Pod(pod) => Object::Pod(pod.into_owned()),
            ReviewObject::Unchanged(pod) => Object::Unchanged { relabelled: pod.is_relabelled() },
            ReviewObject::NoImages(reason) => Object::NoImages(reason),
            ReviewObject::Refused { rule, reason } => Object::Refused(Verdict::refused(rule, reason)),
        };
        Self { head: Head::of(review), object, pod_spec_digest }
    }

    /// A review of which only the beginning was read. The verdict stands for its object, unless the request starts no image.
    pub(crate) fn of_beginning(body: &[u8], verdict: Verdict) -> Option<Self> {
        let head = Head::of_beginning(body)?;
        let object = head.no_images().map_or(Object::Refused(verdict), Object::NoImages);
        Some(Self { head, object, pod_spec_digest: None })
    }
}
