//! The images of a pod spec.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use zastava_core::contract::canonical_digest;
use zastava_core::image::Digest;

use super::shape::{self, RawContainer, RawPodSpec, RawTemplate, Shape, Text};
use crate::text::printable;
use crate::verdict::Rule;

/// Bounds for the places that name images and for the labels of one object. No real pod comes near;
/// a hostile body could hold a million.
const IMAGES_MAX: usize = 256;
const LABELS_MAX: usize = 256;

/// The spec of a pod or of a pod template, with every image that it names.
#[derive(Debug)]
pub struct PodSpec<'a> {
    images: Vec<ImageUse<'a>>,
    labels: BTreeMap<String, String>,
    is_template: bool,
    spec: &'a RawValue,
}

/// One place of a pod spec that names an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a pair")]
pub struct ImageUse<'a> {
    /// The place.
    pub field: ImageField,
    /// The reference as written; empty when there is none.
    pub reference: Cow<'a, str>,
}

/// The fields of a pod spec that name images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ImageField {
    /// `initContainers[].image`
    InitContainer,
    /// `containers[].image`
    Container,
    /// `ephemeralContainers[].image`
    EphemeralContainer,
    /// `volumes[].image.reference`
    Volume,
}

impl<'a> PodSpec<'a> {
    pub(super) fn read(template: RawTemplate<'a>, shape: Shape) -> Result<Self, (Rule, String)> {
        let spec = template.spec.ok_or_else(|| unreadable("the pod has no spec"))?;
        let raw: RawPodSpec<'a> = shape::read_object(spec).map_err(unreadable)?;
        let labels: Option<BTreeMap<String, String>> =
            match template.metadata.and_then(|metadata| metadata.labels) {
                Some(labels) => serde_json::from_str(labels.get()).map_err(unreadable)?,
                None => None,
            };
        let (images, labels) = (images(raw), labels.unwrap_or_default());
        if images.len() > IMAGES_MAX || labels.len() > LABELS_MAX {
            let reason = format!("the pod has more than {IMAGES_MAX} images or {LABELS_MAX} labels");
            return Err((Rule::TooLarge, reason));
        }
        Ok(Self { images, labels, is_template: shape != Shape::Pod, spec })
    }

    /// Every place that names an image, in the order init containers, containers, ephemeral
    /// containers, volumes. One image may stand in several places.
    #[must_use]
    pub fn images(&self) -> &[ImageUse<'a>] {
        &self.images
    }

    /// The pod's labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether this is a template, whose blank images may be filled in when pods are made from it.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.is_template
    }

    /// The digest of the spec's canonical JSON (RFC 8785). `None` when the spec holds a number that has
    /// no canonical form.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        canonical_digest(&self.spec).ok()
    }

    /// The spec's JSON as written.
    pub(crate) fn spec(&self) -> &'a RawValue {
        self.spec
    }

    /// Whether both name the same images in the same fields equally often, in any order.
    pub(super) fn has_images_of(&self, other: &PodSpec<'_>) -> bool {
        let sorted = |images: &[ImageUse<'_>]| -> Vec<(ImageField, String)> {
            let mut pairs: Vec<_> =
                images.iter().map(|image| (image.field, image.reference.clone().into_owned())).collect();
            pairs.sort_unstable();
            pairs
        };
        self.images == other.images
            || (self.images.len() == other.images.len() && sorted(&self.images) == sorted(&other.images))
    }
}

fn images<'a>(spec: RawPodSpec<'a>) -> Vec<ImageUse<'a>> {
    let of = |field, containers: Option<Vec<RawContainer<'a>>>| {
        let containers = containers.into_iter().flatten();
        containers.map(move |container| image_use(field, container.image))
    };
    let volumes = spec.volumes.into_iter().flatten().filter_map(|volume| volume.image);
    of(ImageField::InitContainer, spec.init_containers)
        .chain(of(ImageField::Container, spec.containers))
        .chain(of(ImageField::EphemeralContainer, spec.ephemeral_containers))
        .chain(volumes.map(|image| image_use(ImageField::Volume, image.reference)))
        .collect()
}

fn image_use(field: ImageField, reference: Option<Text<'_>>) -> ImageUse<'_> {
    ImageUse { field, reference: reference.unwrap_or_default().0 }
}

/// The object does not have the shape of its kind.
pub(super) fn unreadable(problem: impl fmt::Display) -> (Rule, String) {
    (Rule::UnreadableObject, format!("the object cannot be read: {}", printable(&problem.to_string(), 200)))
}
