//! Remembers used proofs for as long as they could be used again.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zastava_core::clock::Timestamp;

use super::ProofError;
use crate::encoding::sha256;

/// A lock is held for one lookup. Sixteen keep the cores of a server from waiting for each other.
const SHARDS: usize = 16;

/// A hash of thumbprint and `jti`. One client cannot use up another's identifiers, and a long
/// identifier costs no more than a short one.
type Fingerprint = [u8; 16];

pub(super) struct Replays {
    shards: [Mutex<Shard>; SHARDS],
    entries_max: usize,
    remembered: Duration,
}

#[derive(Default)]
struct Shard {
    seen: HashSet<Fingerprint>,
    /// In the order of insertion, which is the order of their ends.
    ends: VecDeque<(Timestamp, Fingerprint)>,
}

impl Replays {
    pub(super) fn new(entries_max: usize, remembered: Duration) -> Self {
        Self { shards: Default::default(), entries_max: entries_max.div_ceil(SHARDS).max(1), remembered }
    }

    pub(super) fn insert(&self, thumbprint: &str, jti: &str, now: Timestamp) -> Result<(), ProofError> {
        // A thumbprint has a fixed length, so no other pair gives the same text.
        let hash = sha256(&[thumbprint.as_bytes(), jti.as_bytes()]);
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&hash[..16]);
        let shard = &self.shards[usize::from(hash[31]) % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // One second more, since `iat` has whole seconds only.
        let end = now.saturating_add(self.remembered).saturating_add(Duration::from_secs(1));
        shard.forget(now, end.saturating_add(self.remembered));
        if shard.seen.contains(&fingerprint) {
            return Err(ProofError::Replayed);
        }
        if shard.seen.len() >= self.entries_max {
            return Err(ProofError::Busy);
        }
        shard.seen.insert(fingerprint);
        shard.ends.push_back((end, fingerprint));
        Ok(())
    }
}

impl Shard {
    /// Forgets proofs that have ended, and proofs whose end is later than `latest`. The latter came
    /// before the clock was set back by more than a proof is good for. They are from the future now,
    /// so they are refused anyway, and would stay until the clock is there again.
    fn forget(&mut self, now: Timestamp, latest: Timestamp) {
        let is_over = |(end, _): &mut (Timestamp, Fingerprint)| *end < now || *end > latest;
        while let Some((_, fingerprint)) = self.ends.pop_front_if(is_over) {
            self.seen.remove(&fingerprint);
        }
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays")
            .field("entries_max_per_shard", &self.entries_max)
            .field("remembered", &self.remembered)
            .finish_non_exhaustive()
    }
}
