//! The task that keeps one audience's token fresh.
//!
//! It alone makes requests, so there is one at a time, it outlives whoever asked first, and all who
//! wait share its outcome, success and failure alike. It ends with the last [`Authority`] handle.
//!
//! [`Authority`]: super::Authority

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zastava_core::clock::Timestamp;
use zastava_core::telemetry::scope;

use super::Shared;
use super::endpoint::Issued;
use super::slot::{Cause, Next, Slot};
use crate::encoding::random_fraction;
use crate::error::Error;
use crate::token::OpTok;

/// Timers stop while a machine sleeps and wall clocks jump, so the clock is read again this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

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
        }
    }

    async fn keep(&self) {
        let mut changes = self.slot.subscribe();
        loop {
            let next = changes.borrow_and_update().next(self.shared.clock.now());
            match next {
                Next::Fetch(cause) => self.fetch(cause).await,
                Next::Sleep(duration) => tokio::select! {
                    () = tokio::time::sleep(duration.min(SLEEP_MAX)) => {}
                    _ = changes.changed() => {}
                },
            }
        }
    }

    async fn fetch(&self, cause: Cause) {
        let epoch = self.slot.borrow().epoch;
        match self.shared.endpoint.issue(&self.audience).await {
            Ok(issued) => self.install(issued, cause, epoch),
            Err(error) => self.note_failure(error, cause),
        }
    }

    fn install(&self, issued: Issued, cause: Cause, epoch: u64) {
        let audience = self.audience.as_str();
        let token =
            Arc::new(self.shared.op_tok(audience, issued.token, issued.thumbprint, issued.expires_at));
        let installed = self.put(&token, issued.requested_at, Some(epoch));
        tracing::info!(
            scope = scope::TOKEN_ISSUE,
            token_type = if token.is_dpop() { "DPoP" } else { "Bearer" },
            audience,
            expires_at = %token.expires_at(),
            jkt = token.thumbprint(),
            cause = cause.name(),
            "Issued runtime OpTok"
        );
        if !installed {
            tracing::info!(scope = scope::TOKEN_INVALIDATE, audience, "a token on its way was invalidated");
        } else if let Some(cache) = &self.shared.cache {
            cache.store(&token, issued.requested_at);
            // An invalidation in between found no file yet.
            if self.slot.borrow().epoch != epoch {
                cache.remove(audience);
            }
        }
    }

    fn note_failure(&self, error: Error, cause: Cause) {
        let mut retry_in = Duration::ZERO;
        let logged = error.clone();
        let now = self.shared.clock.now();
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
    fn put(&self, token: &Arc<OpTok>, issued_at: Timestamp, epoch: Option<u64>) -> bool {
        let skew = self.shared.refresh_skew;
        self.slot.send_if_modified(|slot| {
            let current = epoch.is_none_or(|epoch| epoch == slot.epoch);
            if current {
                slot.issued(Arc::clone(token), issued_at, skew, random_fraction());
                let expiry = token.expires_at().unix_seconds() as f64;
                self.shared.expiry.set(&[&self.audience], expiry);
            }
            current
        })
    }

    /// Starts with the token of an earlier run, if there is a good one on disk.
    fn restore(&self) {
        let Some(cache) = &self.shared.cache else { return };
        let Some(stored) = cache.load(&self.audience, self.shared.clock.now()) else { return };
        let token =
            self.shared.op_tok(&self.audience, stored.token, Some(stored.thumbprint), stored.expires_at);
        tracing::debug!(audience = self.audience, expires_at = %token.expires_at(), "took a cached OpTok");
        self.put(&Arc::new(token), stored.issued_at, None);
    }
}

impl Drop for Keeper {
    /// However the task ends, nobody waits for it for ever.
    fn drop(&mut self) {
        self.slot.send_modify(|slot| slot.stopped = true);
    }
}
