//! A bounded map of verdicts. Time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::image::Digest;

use crate::verdict::Verdict;

const ENTRIES_MAX: usize = 10_000;
/// Bytes that all verdicts together may take, by estimate.
const BYTES_MAX: usize = 32 << 20;

/// What a verdict was asked for, hashed: the size is fixed, and no text of a tenant can imitate
/// another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Digest);

/// What the keys of one review's images have in common: the namespace and the labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyPrefix(Digest);

impl KeyPrefix {
    pub(super) fn new(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::with_capacity(256);
        let labels = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in std::iter::once(namespace).chain(labels) {
            // With its length in front of each part, two different lists never hash the same text.
            text.extend_from_slice(&part.len().to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Self(Digest::of(&text))
    }

    pub(super) fn key(&self, reference: &str) -> Key {
        Key(Digest::of(&[self.0.as_bytes(), reference.as_bytes()].concat()))
    }
}

/// Verdicts by key. The oldest entry leaves when the map is full.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: HashMap<Key, Entry>,
    /// Keys by the order of their insertion.
    order: BTreeMap<u64, Key>,
    inserted: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    verdict: Arc<Verdict>,
    from: Timestamp,
    until: Timestamp,
    order: u64,
    bytes: usize,
}

impl Entries {
    /// The verdict and how long it still holds. An entry from the future is dropped: the clock was
    /// set back, and the entry would outlive its time.
    pub(super) fn get(&mut self, key: Key, now: Timestamp) -> Option<(Arc<Verdict>, Duration)> {
        let entry = self.entries.get(&key)?;
        if entry.from <= now && now < entry.until {
            return Some((Arc::clone(&entry.verdict), entry.until.saturating_since(now)));
        }
        self.remove(key);
        None
    }

    /// Keeps the verdict for `ttl`; with a `ttl` of zero the key has no verdict afterwards.
    pub(super) fn insert(&mut self, key: Key, verdict: Arc<Verdict>, ttl: Duration, now: Timestamp) {
        self.remove(key);
        if ttl.is_zero() {
            return;
        }
        let (order, bytes) = (self.inserted, size_of::<Entry>() + verdict.bytes());
        self.inserted += 1;
        self.bytes += bytes;
        self.order.insert(order, key);
        self.entries.insert(key, Entry { verdict, from: now, until: now.saturating_add(ttl), order, bytes });
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            self.remove(*oldest);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.order.remove(&entry.order);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Rule;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn key(number: usize) -> Key {
        KeyPrefix::new("shop", &BTreeMap::new()).key(&number.to_string())
    }

    fn verdict() -> Arc<Verdict> {
        Arc::new(Verdict::refused(Rule::Policy, "not signed"))
    }

    #[test]
    fn verdict_holds_until_its_time_is_up() {
        let mut cache = Entries::default();
        cache.insert(key(1), verdict(), Duration::from_secs(10), at(0));
        assert_eq!(cache.get(key(1), at(9)).map(|(_, left)| left), Some(Duration::from_secs(1)));
        assert!(cache.get(key(2), at(9)).is_none());
        assert!(cache.get(key(1), at(10)).is_none());
        assert_eq!((cache.order.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn clock_that_is_set_back_ends_verdicts() {
        let mut cache = Entries::default();
        cache.insert(key(1), verdict(), Duration::from_secs(10), at(0));
        assert!(cache.get(key(1), at(-3600)).is_none());
    }

    #[test]
    fn oldest_verdict_leaves_a_full_cache() {
        let mut cache = Entries::default();
        for number in 0..ENTRIES_MAX {
            cache.insert(key(number), verdict(), Duration::from_secs(10), at(0));
        }
        cache.insert(key(0), verdict(), Duration::from_secs(10), at(1));
        cache.insert(key(ENTRIES_MAX), verdict(), Duration::from_secs(10), at(1));
        assert_eq!((cache.entries.len(), cache.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert!(cache.get(key(1), at(1)).is_none(), "the oldest is gone");
        assert!(cache.get(key(0), at(1)).is_some(), "the renewed one is young");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = Entries::default();
        let large = Arc::new(Verdict::refused(Rule::Policy, "x".repeat(1 << 20)));
        for number in 0..40 {
            cache.insert(key(number), Arc::clone(&large), Duration::from_secs(10), at(0));
        }
        assert!(cache.bytes <= BYTES_MAX && cache.entries.len() < 40);
    }

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
