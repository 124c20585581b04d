//! Verdicts that still hold.
//!
//! A verdict is remembered for what was asked: the namespace, the labels that Scanner was told
//! and the pinned reference. Never for a tag, never when it is `error`, a `fail` only shortly.
//! Time is an argument. Entries and bytes are bounded; the oldest entry goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{PolicyResponse, PolicyVerdict};
use zastava_core::image::Digest;

use crate::verdict::ImageVerdict;

/// Verdicts kept at most.
pub(crate) const ENTRIES_MAX: usize = 10_000;
/// Bytes that verdicts may fill, by estimate.
const BYTES_MAX: usize = 32 << 20;
/// A denied image may be signed the next minute.
pub(crate) const FAIL_TTL_MAX: Duration = Duration::from_secs(30);

/// What a verdict was asked for, hashed: fixed size, and no text of a tenant can imitate another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Digest);

/// Where images of one review would run: the namespace and the labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope(Digest);

impl Scope {
    pub(crate) fn new(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::with_capacity(256);
        let words = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for word in std::iter::once(namespace).chain(words) {
            // Lengths in front, so that two different lists never read alike.
            text.extend_from_slice(&word.len().to_le_bytes());
            text.extend_from_slice(word.as_bytes());
        }
        Self(Digest::of(&text))
    }

    pub(crate) fn key(&self, pinned: &str) -> Key {
        Key(Digest::of(&[self.0.as_bytes(), pinned.as_bytes()].concat()))
    }
}

/// A bounded map of verdicts.
#[derive(Debug, Default)]
pub(crate) struct VerdictCache {
    entries: HashMap<Key, Entry>,
    /// Keys by the order of their insertion.
    order: BTreeMap<u64, Key>,
    inserted: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    verdict: Arc<ImageVerdict>,
    from: Timestamp,
    until: Timestamp,
    order: u64,
    bytes: usize,
}

impl VerdictCache {
    /// The verdict and how long it still holds. A clock that was set back makes entries of its
    /// future invalid, not long-lived.
    pub(crate) fn get(&mut self, key: Key, now: Timestamp) -> Option<(Arc<ImageVerdict>, Duration)> {
        let entry = self.entries.get(&key)?;
        if entry.from <= now && now < entry.until {
            return Some((Arc::clone(&entry.verdict), entry.until.saturating_since(now)));
        }
        self.remove(key);
        None
    }

    /// Remembers the verdict for `ttl`; nothing happens when that is no time.
    pub(crate) fn insert(&mut self, key: Key, verdict: Arc<ImageVerdict>, ttl: Duration, now: Timestamp) {
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

/// How long a verdict of this answer may be remembered: as long as the answer says, `ttl_max` at
/// most, nothing at all for `error`.
pub(crate) fn time_to_live(
    verdict: PolicyVerdict,
    answer: &PolicyResponse,
    ttl_max: Duration,
    now: Timestamp,
) -> Duration {
    let most = match verdict {
        PolicyVerdict::Pass | PolicyVerdict::Warn => ttl_max,
        PolicyVerdict::Fail => ttl_max.min(FAIL_TTL_MAX),
        PolicyVerdict::Error => Duration::ZERO,
    };
    let ttl = answer.ttl_seconds.map(Duration::from_secs);
    let expiry = answer.expires_at_utc.map(|end| end.saturating_since(now));
    [ttl, expiry].into_iter().flatten().fold(most, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Rule;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn key(number: usize) -> Key {
        Scope::new("shop", &BTreeMap::new()).key(&number.to_string())
    }

    fn verdict() -> Arc<ImageVerdict> {
        Arc::new(ImageVerdict::refused(Rule::Policy, "not signed"))
    }

    #[test]
    fn verdict_holds_until_its_time_is_up() {
        let mut cache = VerdictCache::default();
        cache.insert(key(1), verdict(), Duration::from_secs(10), at(0));
        assert_eq!(cache.get(key(1), at(9)).map(|(_, left)| left), Some(Duration::from_secs(1)));
        assert!(cache.get(key(2), at(9)).is_none());
        assert!(cache.get(key(1), at(10)).is_none());
        assert_eq!((cache.order.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn clock_that_is_set_back_ends_verdicts() {
        let mut cache = VerdictCache::default();
        cache.insert(key(1), verdict(), Duration::from_secs(10), at(0));
        assert!(cache.get(key(1), at(-3600)).is_none());
    }

    #[test]
    fn oldest_verdict_leaves_a_full_cache() {
        let mut cache = VerdictCache::default();
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
        let mut cache = VerdictCache::default();
        let large = Arc::new(ImageVerdict::refused(Rule::Policy, "x".repeat(1 << 20)));
        for number in 0..40 {
            cache.insert(key(number), Arc::clone(&large), Duration::from_secs(10), at(0));
        }
        assert!(cache.bytes <= BYTES_MAX && cache.entries.len() < 40);
    }

    #[test]
    fn time_to_live_is_the_shortest_that_anyone_says() {
        use PolicyVerdict::{Error, Fail, Pass, Warn};
        for (verdict, ttl, expires, expected) in [
            (Pass, None, None, 300),
            (Warn, None, None, 300),
            (Pass, Some(60), None, 60),
            (Pass, Some(3600), None, 300),
            (Pass, Some(60), Some(at(20)), 20),
            (Pass, None, Some(at(-5)), 0),
            (Pass, Some(0), None, 0),
            (Fail, None, None, 30),
            (Fail, Some(10), None, 10),
            (Error, Some(60), None, 0),
        ] {
            let answer =
                PolicyResponse { ttl_seconds: ttl, expires_at_utc: expires, ..PolicyResponse::default() };
            let found = time_to_live(verdict, &answer, Duration::from_secs(300), at(0));
            assert_eq!(found, Duration::from_secs(expected), "{verdict:?} {ttl:?} {expires:?}");
        }
    }

    #[test]
    fn scopes_do_not_collide() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let keys: std::collections::HashSet<_> = [
            Scope::new("a", &labels(&[])),
            Scope::new("b", &labels(&[])),
            Scope::new("a", &labels(&[("b", "c")])),
            Scope::new("a", &labels(&[("bc", "")])),
            Scope::new("ab", &labels(&[("c", "")])),
        ]
        .iter()
        .map(|scope| scope.key("image"))
        .collect();
        assert_eq!(keys.len(), 5);
    }
}
