//! The labels of a pod, read up to a bound.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::shape::Text;

/// Bounds for the labels of one object. Kubernetes allows 379 bytes for a label, and no real pod has that many.
pub(super) const LABELS_MAX: usize = 256;
pub(super) const LABEL_BYTES_MAX: usize = 128 << 10;

/// Labels up to the bounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) pairs: BTreeMap<String, String>,
    /// Whether there are more.
    pub(super) are_too_many: bool,
}

pub(super) struct ReadLabels;

impl<'de> DeserializeSeed<'de> for ReadLabels {
    type Value = Labels;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Labels, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadLabels {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let (mut labels, mut bytes) = (Labels::default(), 0);
        while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            bytes += name.as_str().len() + value.as_str().len();
            labels.pairs.insert(name.0.into_owned(), value.0.into_owned());
            if labels.pairs.len() > LABELS_MAX || bytes > LABEL_BYTES_MAX {
                labels.are_too_many = true;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            }
        }
        Ok(labels)
    }
}
