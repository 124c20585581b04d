//! The task that keeps one audience's token fresh.
//!
//! Only this task makes token requests for its audience. So there is one request at a time, it
//! outlives the caller that caused it, and all callers share its outcome, success or failure. The
//! task ends with the last [`Authority`] handle. See `docs/design/authority.md`.
//!
//! [`Authority`]: super::Authority

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zastava_core::telemetry::scope;

use super::audit;
use super::claims::Reading;
use super::endpoint::Issued;
use super::keys::Bound;
use super::lifetime::Lifetime;
use super::manager::{TokenManager, random_fraction};
use super::token_state::{Next, RequestReason, TokenState};
use crate::cache_dir::{AudienceLock, Bindings, StoredToken, is_later};
use crate::error::Error;
use crate::token::OpTok;

/// Timers stop while a machine sleeps, and wall clocks jump. So the clock is read again this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The files of key and certificate are checked this often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// While another process requests a token, the disk is checked this often.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

pub(super) struct Refresher {
    pub(super) manager: Arc<TokenManager>,
    pub(super) audience: String,
    pub(super) state: Arc<watch::Sender<TokenState>>,
}

impl Refresher {
    /// Runs until the sender of `alive` is dropped.
    pub(super) async fn run(self, mut alive: watch::Receiver<()>) {
        self.restore();
        tokio::select! {
            // Nothing is ever sent: the sender was dropped.
            _ = alive.changed() => {}
            () = self.keep() => {}
            () = self.watch() => {}
        }
    }

    async fn keep(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let next = changes.borrow_and_update().next(self.manager.now());
            match next {
                Next::Request(reason) => self.request(reason).await,
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
            self.manager.reload();
        }
    }

    async fn request(&self, reason: RequestReason) {
        let (epoch, key_revision) = {
            let state = self.state.borrow();
            (state.epoch, state.key_revision)
        };
        let Some(_lock) = self.lock_or_adopt(reason).await else { return };
        match self.manager.endpoint.issue(&self.audience, &self.manager.keys).await {
            Ok(issued) => self.install(issued, reason, epoch, key_revision),
            Err(error) => self.note_failure(error, reason),
        }
    }

    /// The right to make a request, or `None` if another process made it and its token was adopted.
    /// A process that holds the lock too long is not waited for: two requests are better than none.
    async fn lock_or_adopt(&self, reason: RequestReason) -> Option<Option<AudienceLock>> {
        let Some(cache) = &self.manager.cache else { return Some(None) };
        let patience = self.manager.request_timeout;
        let wait = async {
            loop {
                let lock = cache.try_lock(&self.audience);
                if self.adopt(reason) {
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

    /// Takes the token of another process, if it is newer than the one here, and fresh.
    fn adopt(&self, reason: RequestReason) -> bool {
        let (now, bound) = (self.manager.now(), self.manager.keys.current());
        let Some(found) = self.stored(&bound) else { return false };
        let (stored, _, lifetime) = &found;
        let state = self.state.borrow();
        let known = state.usable(now).is_some_and(|token| token.expose() == stored.token.expose());
        let dropped = state.dropped_at.is_some_and(|at| !is_later(stored.issued_at, at));
        let key_revision = state.key_revision;
        drop(state);
        if known || dropped || !lifetime.is_fresh(now) {
            return false;
        }
        tracing::debug!(audience = self.audience, cause = reason.name(), "took the OpTok of another process");
        self.take(found, bound, key_revision)
    }

    /// Starts with the token of an earlier run, if there is a good one on disk.
    fn restore(&self) {
        let bound = self.manager.keys.current();
        let Some(found) = self.stored(&bound) else { return };
        tracing::debug!(audience = self.audience, "took a cached OpTok");
        let key_revision = self.state.borrow().key_revision;
        self.take(found, bound, key_revision);
    }

    /// What is on disk and still lives by its own claims: it may have been stored by a release that did not
    /// read it, or for other settings.
    fn stored(&self, bound: &Bound) -> Option<(StoredToken, Reading, Lifetime)> {
        let (cache, now) = (self.manager.cache.as_ref()?, self.manager.now());
        let jkt = self.manager.require_dpop.then(|| bound.dpop.thumbprint());
        let bindings = Bindings { jkt, x5t: bound.certificate.as_deref() };
        let mut stored = cache.load(&self.audience, bindings, now.wall)?;
        let (token, length) = (stored.token.expose(), stored.expires_at.saturating_since(stored.issued_at));
        let reading = self.manager.endpoint.believed(&self.audience, bound, length, token).ok()?;
        stored.expires_at = stored.issued_at.saturating_add(reading.lifetime);
        let requested_at = now.at_wall(stored.issued_at);
        let lifetime = Lifetime::new(requested_at, stored.expires_at, self.manager.refresh_skew);
        (now.wall < stored.expires_at).then_some((stored, reading, lifetime))
    }

    fn take(
        &self,
        (stored, reading, lifetime): (StoredToken, Reading, Lifetime),
        bound: Bound,
        key_revision: u64,
    ) -> bool {
        let StoredToken { token, expires_at, .. } = stored;
        let is_certificate_bound = reading.is_certificate_bound;
        let token = self.manager.op_tok(&self.audience, token, expires_at, bound, is_certificate_bound);
        token.is_ok_and(|token| self.put(&Arc::new(token), lifetime, None, key_revision))
    }

    fn install(&self, issued: Issued, reason: RequestReason, epoch: u64, key_revision: u64) {
        let Issued { token, bound, is_certificate_bound, requested_at, expires_at } = issued;
        let audience = self.audience.as_str();
        let token = match self.manager.op_tok(audience, token, expires_at, bound, is_certificate_bound) {
            Ok(token) => Arc::new(token),
            Err(error) => return self.note_failure(error, reason),
        };
        let lifetime = Lifetime::new(requested_at, expires_at, self.manager.refresh_skew);
        if self.manager.now().since(requested_at) >= lifetime.usable_for() {
            // A new request at once would come too late again, so this is a failure with a pause.
            let url = self.manager.endpoint.issuer();
            let error = Error::Malformed { url, reason: "its token had ended before it came" };
            return self.note_failure(error, reason);
        }
        let installed = self.put(&token, lifetime, Some(epoch), key_revision);
        audit::log_issued(&token, reason);
        if !installed {
            tracing::info!(scope = scope::TOKEN_INVALIDATE, audience, "a token on its way was invalidated");
        } else if let Some(cache) = &self.manager.cache {
            cache.store(&token, requested_at.wall);
            // An invalidation since then found no file to delete.
            if self.state.borrow().epoch != epoch {
                cache.remove_until(audience, requested_at.wall, self.manager.clock.now());
            }
        }
    }

    fn note_failure(&self, error: Error, reason: RequestReason) {
        let mut retry_in = Duration::ZERO;
        let logged = error.clone();
        let now = self.manager.now();
        self.state.send_modify(|state| retry_in = state.failed(error, now, random_fraction()));
        tracing::warn!(
            scope = scope::TOKEN_ISSUE,
            audience = self.audience,
            cause = reason.name(),
            retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            error = &logged as &dyn std::error::Error,
            "OpTok could not be issued"
        );
    }

    /// Makes this the current token, unless there was an invalidation since `epoch`.
    fn put(&self, token: &Arc<OpTok>, lifetime: Lifetime, epoch: Option<u64>, key_revision: u64) -> bool {
        self.state.send_if_modified(|state| {
            let current = epoch.is_none_or(|epoch| epoch == state.epoch);
            if current {
                state.issued(Arc::clone(token), lifetime, key_revision, random_fraction());
                let expiry = token.expires_at().unix_seconds() as f64;
                self.manager.expiry.set(&[&self.audience], expiry);
            }
            current
        })
    }
}

impl Drop for Refresher {
    /// Ends the wait of all callers, however the task ends.
    fn drop(&mut self) {
        self.state.send_modify(|state| state.is_stopped = true);
    }
}
