//! What a verdict was asked for, as a key of fixed size.

use std::collections::BTreeMap;

use zastava_core::image::Digest;

/// What a verdict was asked for, hashed: the size is fixed, and no text of a tenant can imitate
/// another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::policy) struct Key(Digest);

/// What the keys of one review's images have in common: the namespace and the labels.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct KeyPrefix(Digest);

impl KeyPrefix {
    pub(in crate::policy) fn new(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::with_capacity(256);
        let labels = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in std::iter::once(namespace).chain(labels) {
            // With its length in front of each part, two different lists never hash the same text.
            text.extend_from_slice(&part.len().to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Self(Digest::of(&text))
    }

    pub(in crate::policy) fn key(&self, reference: &str) -> Key {
        Key(Digest::of(&[self.0.as_bytes(), reference.as_bytes()].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_do_not_collide() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let keys: std::collections::HashSet<_> = [
            KeyPrefix::new("a", &labels(&[])),
            KeyPrefix::new("b", &labels(&[])),
            KeyPrefix::new("a", &labels(&[("b", "c")])),
            KeyPrefix::new("a", &labels(&[("bc", "")])),
            KeyPrefix::new("ab", &labels(&[("c", "")])),
        ]
        .iter()
        .map(|prefix| prefix.key("image"))
        .collect();
        assert_eq!(keys.len(), 5);
    }
}
