//! What all handles and tasks of one [`Authority`](super::Authority) share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Gauge, scope};

use super::endpoint::Endpoint;
use super::fallback::Fallback;
use super::keys::{Bound, Keys};
use super::token_state::TokenState;
use crate::cache_dir::{self, TokenCache};
use crate::clock_reading::ClockReading;
use crate::encoding::random;
use crate::error::Error;
use crate::token::OpTok;

/// Manages the tokens of all audiences.
#[derive(Debug)]
pub(crate) struct TokenManager {
    /// By audience.
    pub(super) states: Mutex<HashMap<String, Arc<watch::Sender<TokenState>>>>,
    pub(super) endpoint: Endpoint,
    pub(super) fallback: Option<Fallback>,
    pub(super) cache: Option<TokenCache>,
    pub(super) cache_dir: PathBuf,
    pub(super) keys: Keys,
    pub(super) require_dpop: bool,
    pub(super) request_timeout: Duration,
    pub(super) refresh_skew: Duration,
    pub(super) generation: AtomicU64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) expiry: Gauge,
}

impl TokenManager {
    pub(super) fn now(&self) -> ClockReading {
        ClockReading::now(&*self.clock)
    }

    /// Drops every copy of a token that was requested until `until`, and says how many there were.
    pub(crate) fn invalidate(&self, audience: &str, until: Timestamp) -> usize {
        let (state, now) = (self.states().get(audience).cloned(), self.clock.now());
        let mut in_memory = false;
        if let Some(state) = state {
            state.send_modify(|state| in_memory = state.invalidate(until, now));
        }
        let on_disk = self.cache.as_ref().is_some_and(|cache| cache.remove_until(audience, until, now));
        tracing::info!(
            scope = scope::TOKEN_INVALIDATE,
            audience,
            in_memory,
            on_disk,
            "OpToks were invalidated"
        );
        usize::from(in_memory) + usize::from(on_disk)
    }

    pub(super) fn reload(&self) -> bool {
        let changed = self.keys.reload();
        if changed {
            self.states().values().for_each(|state| state.send_modify(TokenState::key_changed));
        }
        changed
    }

    /// The static token instead of `error`, if that is allowed and Authority never issued a token.
    pub(super) fn fall_back(
        &self,
        audience: &str,
        state: &watch::Sender<TokenState>,
        error: Error,
    ) -> Result<Arc<OpTok>, Error> {
        match &self.fallback {
            Some(fallback) if !state.borrow().has_succeeded => {
                fallback.token(audience, &error, self.now()).ok_or(error)
            }
            _ => Err(error),
        }
    }

    pub(super) fn op_tok(
        &self,
        audience: &str,
        token: Secret,
        expires_at: Timestamp,
        bound: Bound,
        is_certificate_bound: bool,
    ) -> Result<OpTok, Error> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let key = self.require_dpop.then_some(bound.dpop);
        let mut token = OpTok::new(token, audience, expires_at, generation, key)?;
        token.certificate = bound.certificate;
        token.is_certificate_bound = is_certificate_bound;
        Ok(token)
    }

    pub(super) fn states(&self) -> MutexGuard<'_, HashMap<String, Arc<watch::Sender<TokenState>>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the directory everything works, but each restart costs a request.
pub(super) fn open_cache(options: &AuthorityOptions, has_identity: bool) -> Option<TokenCache> {
    let is_lasting = if options.require_dpop { options.dpop_key_path.is_some() } else { has_identity };
    if !is_lasting {
        return None;
    }
    match cache_dir::prepare(&options.cache_dir) {
        Ok(()) => Some(TokenCache::new(options)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "OpToks are not cached on disk");
            None
        }
    }
}

/// A random number from 0 to 1, for jitter.
pub(super) fn random_fraction() -> f64 {
    f64::from(u32::from_ne_bytes(random())) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_draws_from_the_whole_range() {
        // Fails by chance once in 10^14 runs, when none of eighty numbers lies in some third of the range.
        let drawn: Vec<_> = (0..80).map(|_| random_fraction()).collect();
        assert!(drawn.iter().all(|number| (0.0..=1.0).contains(number)));
        for third in [0.0..0.34, 0.33..0.67, 0.66..1.01] {
            assert!(drawn.iter().any(|number| third.contains(number)), "{drawn:?}");
        }
    }
}
