//! A bounded map of verdicts. Time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use zastava_core::clock::Timestamp;
use zastava_core::image::Digest;

use crate::policy::key::Key;
use crate::policy::layer::{Answer, Origin};
use crate::verdict::Verdict;

/// A verdict is about to end in the last of so many parts of its time.
const PARTS: u32 = 10;

/// Verdicts by key. The oldest entry leaves when the map is full.
#[derive(Debug)]
pub(super) struct Entries {
    entries_max: usize,
    /// Bytes that all verdicts together may take, by estimate.
    bytes_max: usize,
    /// Of the newest answer that names one.
    revision: Option<Digest>,
    entries: HashMap<Key, Entry>,
    /// Keys by the order of their insertion.
    order: BTreeMap<u64, Key>,
    inserted: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    verdict: Arc<Verdict>,
    revision: Option<Digest>,
    from: Timestamp,
    until: Timestamp,
    order: u64,
    bytes: usize,
}

impl Entries {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { entries_max, bytes_max, revision: None, entries, order, inserted: 0, bytes: 0 }
    }

    /// The verdict and how long it still holds. An entry from the future is dropped: the clock was
    /// set back, and the entry would outlive its time.
    pub(super) fn get(&mut self, key: Key, now: Timestamp) -> Option<Answer> {
        let entry = self.entries.get(&key)?;
        if entry.from > now || now >= entry.until {
            self.remove(key);
            return None;
        }
        // Not dropped: while Scanner is rolled out, old and new replicas answer in turn.
        if entry.revision.is_some() && entry.revision != self.revision {
            return None;
        }
        let (verdict, revision, ttl) =
            (Arc::clone(&entry.verdict), entry.revision, entry.until.saturating_since(now));
        let is_ending = ttl < entry.until.saturating_since(entry.from) / PARTS;
        Some(Answer { verdict, ttl, origin: Origin::Cache, is_ending, revision })
    }

    /// Keeps the verdict for its time; with a time of zero the key has no verdict afterwards.
    pub(super) fn insert(&mut self, key: Key, answer: &Answer, now: Timestamp) {
        self.remove(key);
        self.revision = answer.revision.or(self.revision);
        if answer.ttl.is_zero() {
            return;
        }
        let (verdict, revision, until) =
            (Arc::clone(&answer.verdict), answer.revision, now.saturating_add(answer.ttl));
        let (order, bytes) = (self.inserted, size_of::<Entry>() + verdict.bytes());
        self.inserted += 1;
        self.bytes += bytes;
        self.order.insert(order, key);
        self.entries.insert(key, Entry { verdict, revision, from: now, until, order, bytes });
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
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
    use std::time::Duration;

    use super::*;
    use crate::policy::key::KeyPrefix;
    use crate::verdict::Rule;

    const ENTRIES_MAX: usize = 100;
    const BYTES_MAX: usize = 1 << 20;

    fn cache() -> Entries {
        Entries::new(ENTRIES_MAX, BYTES_MAX)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn key(number: usize) -> Key {
        KeyPrefix::new("shop", &BTreeMap::new()).key(&number.to_string())
    }

    /// A verdict that holds for ten seconds.
    fn answer(reason: &str) -> Answer {
        let verdict = Verdict::refused(Rule::Policy, reason);
        Answer { ttl: Duration::from_secs(10), ..Answer::once(verdict, Origin::Backend) }
    }

    fn by(revision: &str) -> Answer {
        Answer { revision: Some(Digest::of(revision.as_bytes())), ..answer("not signed") }
    }

    #[test]
    fn verdict_holds_until_its_time_is_up() {
        let mut cache = cache();
        cache.insert(key(1), &answer("not signed"), at(0));
        let left = |cache: &mut Entries, seconds| {
            cache.get(key(1), at(seconds)).map(|found| (found.ttl.as_secs(), found.is_ending))
        };
        assert_eq!(left(&mut cache, 0), Some((10, false)));
        assert_eq!(left(&mut cache, 9), Some((1, false)));
        assert!(cache.get(key(2), at(9)).is_none());
        assert!(cache.get(key(1), at(10)).is_none());
        assert_eq!((cache.order.len(), cache.bytes), (0, 0));
        cache.insert(key(1), &Answer { ttl: Duration::from_secs(100), ..answer("not signed") }, at(0));
        assert_eq!((left(&mut cache, 90), left(&mut cache, 91)), (Some((10, false)), Some((9, true))));
    }

    #[test]
    fn clock_that_is_set_back_ends_verdicts() {
        let mut cache = cache();
        cache.insert(key(1), &answer("not signed"), at(0));
        assert!(cache.get(key(1), at(-3600)).is_none());
    }

    #[test]
    fn an_answer_by_another_policy_ends_the_verdicts_of_the_one_before() {
        let mut cache = cache();
        cache.insert(key(1), &by("r1"), at(0));
        cache.insert(key(2), &answer("not signed"), at(0));
        assert!(cache.get(key(1), at(1)).is_some(), "an answer without a revision says nothing about it");
        // Not even one that may not be remembered has to be.
        cache.insert(key(3), &Answer { ttl: Duration::ZERO, ..by("r2") }, at(1));
        assert!(cache.get(key(1), at(1)).is_none());
        assert!(cache.get(key(2), at(1)).is_some());
        // The old replica answers once more.
        cache.insert(key(4), &by("r1"), at(2));
        assert!(cache.get(key(1), at(2)).is_some());
        cache.insert(key(1), &by("r2"), at(3));
        assert!(cache.get(key(1), at(3)).is_some() && cache.get(key(4), at(3)).is_none());
    }

    #[test]
    fn oldest_verdict_leaves_a_full_cache() {
        let mut cache = cache();
        for number in 0..ENTRIES_MAX {
            cache.insert(key(number), &answer("not signed"), at(0));
        }
        cache.insert(key(0), &answer("not signed"), at(1));
        cache.insert(key(ENTRIES_MAX), &answer("not signed"), at(1));
        assert_eq!((cache.entries.len(), cache.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert!(cache.get(key(1), at(1)).is_none(), "the oldest is gone");
        assert!(cache.get(key(0), at(1)).is_some(), "the renewed one is young");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = cache();
        let large = answer(&"x".repeat(100 << 10));
        for number in 0..40 {
            cache.insert(key(number), &large, at(0));
        }
        assert!(cache.bytes <= BYTES_MAX && cache.entries.len() < 40);
    }
}
