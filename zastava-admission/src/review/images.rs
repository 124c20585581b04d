//! The images of a pod spec, read as they pass: memory does not depend on how many there are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::shape::{RawContainer, RawVolume, Text};

/// Bound for the places that name images. No real pod comes near.
pub(super) const IMAGES_MAX: usize = 256;
/// No registry host, repository, tag and digest together are longer.
const REFERENCE_BYTES_MAX: usize = 4096;

/// One place of a pod spec that names an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ImageUse<'a> {
    /// The place.
    pub field: ImageField,
    /// The reference as written; empty when there is none. Of more than 4096 bytes it keeps the first, and ends with `…`.
    pub reference: Cow<'a, str>,
    /// Whether the Pod before the update names the image in the same field, so that it runs already. Never in a template,
    /// which starts new Pods with all its images.
    pub kept: bool,
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

impl ImageUse<'_> {
    pub(super) fn into_owned(self) -> ImageUse<'static> {
        ImageUse { field: self.field, reference: Cow::Owned(self.reference.into_owned()), kept: self.kept }
    }
}

/// The images of one pod spec.
#[derive(Debug)]
pub(super) struct Images<'a> {
    /// The first of them, by field and otherwise as in the spec.
    pub(super) uses: Vec<ImageUse<'a>>,
    sum: Sum,
}

/// Stands for the multiset of all (field, reference) pairs: their number, and the sums of two hashes whose keys nobody
/// knows. Who does not know the keys cannot make two multisets with one sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    hashes: [u64; 2],
}

/// The keys of [`Sum`], made for one review.
#[derive(Debug, Default)]
pub(super) struct SumKeys([RandomState; 2]);

impl<'a> Images<'a> {
    /// Whether there are more than a review may have.
    pub(super) fn are_too_many(&self) -> bool {
        self.sum.count > IMAGES_MAX as u64
    }

    /// Whether both name the same images in the same fields equally often, in any order. Both must have been read with the
    /// same keys.
    pub(super) fn equal(&self, other: &Images<'_>) -> bool {
        self.sum == other.sum
    }

    /// Marks what `old` names in the same field, as often as it does.
    pub(super) fn keep(&mut self, old: &Images<'_>) {
        let mut left: HashMap<_, u32> = HashMap::new();
        for ImageUse { field, reference, .. } in &old.uses {
            *left.entry((*field, &**reference)).or_default() += 1;
        }
        for ImageUse { field, reference, kept } in &mut self.uses {
            if let Some(count) = left.get_mut(&(*field, &**reference)).filter(|count| **count > 0) {
                *count -= 1;
                *kept = true;
            }
        }
    }

    fn add(&mut self, keys: &SumKeys, field: ImageField, reference: Option<Text<'a>>) {
        let reference = reference.unwrap_or_default().0;
        self.sum.count += 1;
        for (sum, key) in self.sum.hashes.iter_mut().zip(&keys.0) {
            *sum = sum.wrapping_add(key.hash_one((field, &*reference)));
        }
        if self.uses.len() < IMAGES_MAX {
            self.uses.push(ImageUse { field, reference: bounded(reference), kept: false });
        }
    }
}

/// A longer reference keeps its beginning, and the mark that it is none.
fn bounded(reference: Cow<'_, str>) -> Cow<'_, str> {
    if reference.len() <= REFERENCE_BYTES_MAX {
        return reference;
    }
    let end = reference.floor_char_boundary(REFERENCE_BYTES_MAX);
    Cow::Owned(format!("{}…", &reference[..end]))
}

/// Reads a pod spec: every field that names an image (Kubernetes 1.37, `core/v1` `PodSpec`).
pub(super) struct ReadImages<'k>(pub(super) &'k SumKeys);

impl<'de> DeserializeSeed<'de> for ReadImages<'_> {
    type Value = Images<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Images<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadImages<'_> {
    type Value = Images<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pod spec")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut spec: A) -> Result<Images<'de>, A::Error> {
        let mut images = Images { uses: Vec::new(), sum: Sum::default() };
        let mut seen = Vec::new();
        while let Some(name) = spec.next_key::<Text<'de>>()? {
            let field = match name.as_str() {
                "initContainers" => ImageField::InitContainer,
                "containers" => ImageField::Container,
                "ephemeralContainers" => ImageField::EphemeralContainer,
                "volumes" => ImageField::Volume,
                _ => {
                    spec.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // Who reads the object later may take the first list or the last one.
            if seen.contains(&field) {
                return Err(A::Error::custom(format_args!("duplicate field `{}`", name.as_str())));
            }
            seen.push(field);
            spec.next_value_seed(List { keys: self.0, field, images: &mut images })?;
        }
        images.uses.sort_by_key(|image| image.field);
        Ok(images)
    }
}

/// Reads one of the lists.
struct List<'s, 'a> {
    keys: &'s SumKeys,
    field: ImageField,
    images: &'s mut Images<'a>,
}

impl<'de> DeserializeSeed<'de> for List<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for List<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.field == ImageField::Volume {
            while let Some(volume) = items.next_element::<RawVolume<'de>>()? {
                if let Some(image) = volume.image {
                    self.images.add(self.keys, self.field, image.reference);
                }
            }
        } else {
            while let Some(container) = items.next_element::<RawContainer<'de>>()? {
                self.images.add(self.keys, self.field, container.image);
            }
        }
        Ok(())
    }
}
