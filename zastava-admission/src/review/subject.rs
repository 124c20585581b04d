//! What a decision needs of a review. It outlives the review's body, so that a slow policy source holds no bodies.

use zastava_core::image::Digest;

use super::head::Head;
use super::pod::Pod;
use super::{Review, ReviewObject, values};
use crate::error::Error;
use crate::verdict::{Rule, Verdict};

/// The part of a review that says what it is about, if anything does.
const BEGINNING_BYTES: usize = 64 << 10;

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
    /// Reads a review, and hashes its object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Error> {
        if values::are_too_many(body) {
            let reason = format!("the review has more than {} members and items", values::VALUES_MAX);
            let beginning = &body[..body.len().min(BEGINNING_BYTES)];
            let subject = Self::of_beginning(beginning, Verdict::refused(Rule::TooLarge, reason));
            return subject.ok_or_else(|| Error::MalformedReview("it has too many members and items".into()));
        }
        Review::parse(body).map(|review| Self::of(&review))
    }

    fn of(review: &Review<'_>) -> Self {
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
