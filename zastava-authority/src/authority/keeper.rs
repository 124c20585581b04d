//! The task that keeps one audience's token fresh.
//!
//! It alone makes requests, so there is one at a time, it outlives whoever asked first, and all who
//! wait share its outcome, success and failure alike. It ends with the last [`Authority`] handle.
//!
//! [`Authority`]: super::Authority

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zastava_core::telemetry::scope;

use super::audit;
use super::endpoint::Issued;
use super::keys::Bound;
use super::life::Life;
use super::shared::{Shared, random_fraction};
use super::slot::{Cause, Next, Slot};
use crate::cache_dir::{AudienceLock, Bindings, StoredToken, is_later};
use crate::error::Error;
use crate::token::OpTok;

/// Timers stop while a machine sleeps and wall clocks jump, so the clock is read again this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The files of key and certificate are looked at this often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// While another process requests, the disk is looked at this often.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) audience: String,
    pub(super) slot: Arc<watch::Sender<Slot>>,
}

impl Keeper {
    /// Runs until the sender behind `alive` is dropped.
    pub(super) async fn run(self, mut alive: watch::Receiver<()>) {
        self.restore();
        tokio::select! {
            // Nothing is ever sent: this is the end.
            _ = alive.changed() => {}
            () = self.keep() => {}
            () = self.watch() => {}
        }
    }

    async fn keep(&self) {
        let mut changes = self.slot.subscribe();
        loop {
            let next = changes.borrow_and_update().next(self.shared.now());
            match next {
                Next::Fetch(cause) => self.fetch(cause).await,
                Next::Sleep(duration) => tokio::select! {
                    () = tokio::time::sleep(duration.min(SLEEP_MAX)) => {}
                    _ = changes.changed() => {}
                },
            }
        }
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            self.shared.reload();
        }
    }

    async fn fetch(&self, cause: Cause) {
        let (epoch, keys) = {
            let slot = self.slot.borrow();
            (slot.epoch, slot.keys)
        };
        let Some(_lock) = self.lock_or_adopt(cause).await else { return };
        match self.shared.endpoint.issue(&self.audience, &self.shared.keys).await {
            Ok(issued) => self.install(issued, cause, epoch, keys),
            Err(error) => self.note_failure(error, cause),
        }
    }

    /// The right to make a request, or `None` when another process made it and we have its token.
    /// One that holds the lock too long is not waited for: two requests are better than none.
    async fn lock_or_adopt(&self, cause: Cause) -> Option<Option<AudienceLock>> {
        let Some(cache) = &self.shared.cache else { return Some(None) };
        let patience = self.shared.request_timeout;
        let wait = async {
            loop {
                let lock = cache.try_lock(&self.audience);
                if self.adopt(cause) {
                    return None;
                }
                if lock.is_some() {
                    return lock;
                }
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
        };
        tokio::time::timeout(patience, wait).await.unwrap_or(Some(None))
    }

    /// Takes the token of another process, if it is newer than what was here, and fresh.
    fn adopt(&self, cause: Cause) -> bool {
        let (now, bound) = (self.shared.now(), self.shared.keys.current());
        let Some((stored, life)) = self.stored(&bound) else { return false };
        let slot = self.slot.borrow();
        let known = slot.usable(now).is_some_and(|token| token.expose() == stored.token.expose());
        let dropped = slot.dropped_at.is_some_and(|at| !is_later(stored.issued_at, at));
        let keys = slot.keys;
        drop(slot);
        if known || dropped || !life.is_fresh(now) {
            return false;
        }
        tracing::debug!(audience = self.audience, cause = cause.name(), "took the OpTok of another process");
        self.take(stored, life, bound, keys)
    }

    /// Starts with the token of an earlier run, if there is a good one on disk.
    fn restore(&self) {
        let bound = self.shared.keys.current();
        let Some((stored, life)) = self.stored(&bound) else { return };
        tracing::debug!(audience = self.audience, "took a cached OpTok");
        let keys = self.slot.borrow().keys;
        self.take(stored, life, bound, keys);
    }

    fn stored(&self, bound: &Bound) -> Option<(StoredToken, Life)> {
        let (cache, now) = (self.shared.cache.as_ref()?, self.shared.now());
        let jkt = self.shared.require_dpop.then(|| bound.dpop.thumbprint());
        let bindings = Bindings { jkt, x5t: bound.certificate.as_deref() };
        let stored = cache.load(&self.audience, bindings, now.wall)?;
        let requested_at = now.at_wall(stored.issued_at);
        let life = Life::new(requested_at, stored.expires_at, self.shared.refresh_skew);
        Some((stored, life))
    }

    fn take(&self, stored: StoredToken, life: Life, bound: Bound, keys: u64) -> bool {
        let Ok(token) = self.shared.op_tok(&self.audience, stored.token, stored.expires_at, bound) else {
            return false;
        };
        self.put(&Arc::new(token), life, None, keys)
    }

    fn install(&self, issued: Issued, cause: Cause, epoch: u64, keys: u64) {
        let Issued { token, bound, requested_at, expires_at } = issued;
        let audience = self.audience.as_str();
        let token = match self.shared.op_tok(audience, token, expires_at, bound) {
            Ok(token) => Arc::new(token),
            Err(error) => return self.note_failure(error, cause),
        };
        let life = Life::new(requested_at, expires_at, self.shared.refresh_skew);
        if self.shared.now().since(requested_at) >= life.usable_for() {
            // Asked for again at once, it would come too late again: this is a failure, with its pause.
            let reason = "its token had ended before it came";
            return self.note_failure(Error::Malformed { reason }, cause);
        }
        let installed = self.put(&token, life, Some(epoch), keys);
        tracing::info!(
            scope = scope::TOKEN_ISSUE,
            token_type = if token.is_dpop() { "DPoP" } else { "Bearer" },
            audience,
            expires_at = %token.expires_at(),
            generation = token.generation(),
            jkt = token.thumbprint(),
            x5t = token.certificate_thumbprint(),
            jti_sha256 = audit::token_id(token.expose()),
            cause = cause.name(),
            "Issued runtime OpTok"
        );
        if !installed {
            tracing::info!(scope = scope::TOKEN_INVALIDATE, audience, "a token on its way was invalidated");
        } else if let Some(cache) = &self.shared.cache {
            cache.store(&token, requested_at.wall);
            // An invalidation in between found no file yet.
            if self.slot.borrow().epoch != epoch {
                cache.remove_until(audience, requested_at.wall, self.shared.clock.now());
            }
        }
    }

    fn note_failure(&self, error: Error, cause: Cause) {
        let mut retry_in = Duration::ZERO;
        let logged = error.clone();
        let now = self.shared.now();
        self.slot.send_modify(|slot| retry_in = slot.failed(error, now, random_fraction()));
        tracing::warn!(
            scope = scope::TOKEN_ISSUE,
            audience = self.audience,
            cause = cause.name(),
            retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            error = &logged as &dyn std::error::Error,
            "OpTok could not be issued"
        );
    }

    /// Puts a token into the slot, unless that was invalidated since `epoch`.
    fn put(&self, token: &Arc<OpTok>, life: Life, epoch: Option<u64>, keys: u64) -> bool {
        self.slot.send_if_modified(|slot| {
            let current = epoch.is_none_or(|epoch| epoch == slot.epoch);
            if current {
                slot.issued(Arc::clone(token), life, keys, random_fraction());
                let expiry = token.expires_at().unix_seconds() as f64;
                self.shared.expiry.set(&[&self.audience], expiry);
            }
            current
        })
    }
}

impl Drop for Keeper {
    /// However the task ends, nobody waits for it for ever.
    fn drop(&mut self) {
        self.slot.send_modify(|slot| slot.stopped = true);
    }
}
