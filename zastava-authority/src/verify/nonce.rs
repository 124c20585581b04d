//! Nonces that need no memory: the time step in which they were issued, and a keyed hash of it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use p256::elliptic_curve::subtle::ConstantTimeEq as _;
use zastava_core::clock::Timestamp;
use zeroize::Zeroizing;

use crate::encoding::{base64url, base64url_decode, hmac_sha256, random};

/// A nonce lives through this many steps of whole seconds. If its lifetime is a multiple of 10 s, it
/// is good for at least 9/10 of it.
const STEPS: u64 = 10;
const STEP_BYTES: usize = 8;
const MAC_BYTES: usize = 16;

/// Issues and checks nonces for `DPoP-Nonce` headers (RFC 9449 section 8).
///
/// Keeps a key, and nothing for each nonce.
pub struct NonceIssuer {
    key: Mutex<Zeroizing<[u8; 32]>>,
    step_seconds: u64,
}

impl NonceIssuer {
    /// Nonces that are good for `lifetime`, at least ten seconds, under a random key.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self::with_key(random(), lifetime)
    }

    /// Like [`NonceIssuer::new`], with a key that several processes share. Each accepts the nonces of
    /// all. The key must be random.
    #[must_use]
    pub fn with_key(key: [u8; 32], lifetime: Duration) -> Self {
        Self { key: Mutex::new(Zeroizing::new(key)), step_seconds: (lifetime.as_secs() / STEPS).max(1) }
    }

    /// The current nonce.
    #[must_use]
    pub fn issue(&self, now: Timestamp) -> String {
        let step = self.step(now).to_be_bytes();
        base64url([&step[..], &self.mac(&step)].concat())
    }

    /// Whether the nonce was issued here and is still good.
    #[must_use]
    pub fn check(&self, nonce: &str, now: Timestamp) -> bool {
        let Some(bytes) = base64url_decode(nonce) else { return false };
        let Some((step, mac)) = bytes.split_first_chunk::<STEP_BYTES>() else { return false };
        let age = self.step(now).checked_sub(u64::from_be_bytes(*step));
        bool::from(self.mac(step)[..].ct_eq(mac)) && age.is_some_and(|steps| steps < STEPS)
    }

    /// Makes every nonce that was issued so far invalid.
    pub fn rotate(&self) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::new(random());
    }

    fn step(&self, now: Timestamp) -> u64 {
        u64::try_from(now.unix_seconds()).unwrap_or(0) / self.step_seconds
    }

    fn mac(&self, step: &[u8; STEP_BYTES]) -> [u8; MAC_BYTES] {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hmac_sha256(&key, step)[..MAC_BYTES]);
        mac
    }
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceIssuer").field("step_seconds", &self.step_seconds).finish_non_exhaustive()
    }
}
