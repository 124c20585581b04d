//! The spec of a pod or of a pod template.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use zastava_core::contract::canonical_json_digest;
use zastava_core::image::Digest;

use super::images::{IMAGES_MAX, ImageUse, Images, ReadImages, SumKeys};
use super::labels::{LABEL_BYTES_MAX, LABELS_MAX, Labels, ReadLabels};
use super::shape::{self, RawTemplate, Shape};
use crate::policy::policy_labels;
use crate::text::printable;
use crate::verdict::Rule;

/// The spec of a pod or of a pod template, with every image that it names.
#[derive(Debug)]
pub struct PodSpec<'a> {
    images: Images<'a>,
    labels: Labels,
    is_template: bool,
    is_relabelled: bool,
    spec: &'a RawValue,
}

/// What remains of a pod once the review's body is gone.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) images: Vec<ImageUse<'static>>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) is_template: bool,
}

impl<'a> PodSpec<'a> {
    pub(super) fn read(
        template: RawTemplate<'a>,
        shape: Shape,
        keys: &SumKeys,
    ) -> Result<Self, (Rule, String)> {
        let spec = template.spec.ok_or_else(|| unreadable("the pod has no spec"))?;
        let images = shape::read_object_by(ReadImages(keys), spec).map_err(unreadable)?;
        let labels = match template.metadata.and_then(|metadata| metadata.labels) {
            Some(labels) => shape::read_object_by(ReadLabels, labels).map_err(unreadable)?,
            None => Labels::default(),
        };
        Ok(Self { images, labels, is_template: shape != Shape::Pod, is_relabelled: false, spec })
    }

    /// What `old` is to this pod after an update.
    pub(super) fn updates(&mut self, old: &PodSpec<'_>) {
        let labels = |pod: &PodSpec<'_>| policy_labels(&pod.labels.pairs);
        self.is_relabelled = !self.is_template && labels(self) != labels(old);
        if !self.is_template {
            self.images.keep(&old.images);
        }
    }

    /// Whether both name the same images in the same fields equally often, in any order.
    pub(super) fn has_images_of(&self, old: &PodSpec<'_>) -> bool {
        self.images.equal(&old.images)
    }

    /// Refuses a pod with more images or labels than a review may have.
    pub(super) fn check_size(&self) -> Result<(), (Rule, String)> {
        let reason = if self.images.are_too_many() {
            format!("the pod has more than {IMAGES_MAX} images")
        } else if self.labels.are_too_many {
            format!("the pod has more than {LABELS_MAX} labels, or {} KiB of them", LABEL_BYTES_MAX >> 10)
        } else {
            return Ok(());
        };
        Err((Rule::TooLarge, reason))
    }

    /// Every place that names an image, in the order init containers, containers, ephemeral
    /// containers, volumes. One image may stand in several places. An update that changes no image may
    /// have more than 256 places; these are 256 of them.
    #[must_use]
    pub fn images(&self) -> &[ImageUse<'a>] {
        &self.images.uses
    }

    /// The pod's labels. An update that changes no image may have more than 256; these are 257 of them.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels.pairs
    }

    /// Whether this is a template, whose blank images may be filled in when pods are made from it.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.is_template
    }

    /// Whether the review updates a Pod and changes labels that a policy source is sent.
    #[must_use]
    pub fn is_relabelled(&self) -> bool {
        self.is_relabelled
    }

    /// The digest of the spec's canonical JSON (RFC 8785). `None` when the spec holds a number that has
    /// no canonical form, or is too large to be sorted.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        canonical_json_digest(self.spec.get()).ok()
    }

    /// The pod without the body.
    pub(crate) fn into_owned(self) -> Pod {
        Pod {
            images: self.images.uses.into_iter().map(ImageUse::into_owned).collect(),
            labels: self.labels.pairs,
            is_template: self.is_template,
        }
    }
}

/// The object does not have the shape of its kind.
pub(super) fn unreadable(problem: impl fmt::Display) -> (Rule, String) {
    (Rule::UnreadableObject, format!("the object cannot be read: {}", printable(&problem.to_string(), 200)))
}
