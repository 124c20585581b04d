//! What is known about one audience's token, and what to do next. Pure: every method takes `now`.

mod request_reason;
mod status;

use std::sync::Arc;
use std::time::Duration;

use zastava_core::clock::Timestamp;

pub(super) use self::request_reason::RequestReason;
use super::backoff;
use super::lifetime::Lifetime;
use crate::clock_reading::ClockReading;
use crate::error::Error;
use crate::token::OpTok;

/// If the server refuses a token this soon after its request, it may refuse the next one as well.
const YOUNG: Duration = Duration::from_secs(30);
/// The shortest wait that callers are asked for while a retry is on its way.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);

/// What a caller gets.
#[derive(Debug)]
pub(super) enum Serve {
    Token(Arc<OpTok>),
    /// The outcome of the request that is on its way.
    Wait,
    /// The outcome of the last request.
    Refuse(Error),
}

/// What the refresher does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Request(RequestReason),
    Sleep(Duration),
}

#[derive(Debug)]
pub(super) struct TokenState {
    audience: String,
    current: Option<Current>,
    /// Why the next request will be made.
    reason: RequestReason,
    failure: Option<Failure>,
    failures: u32,
    /// Tokens in a row that were refused while young.
    refused_young: u32,
    /// Whether Authority ever issued a token.
    pub(super) has_succeeded: bool,
    /// Rises with every invalidation. A token that was requested before is thrown away.
    pub(super) epoch: u64,
    /// Rises with every new key or certificate. A token that was requested before serves, but is
    /// replaced at once.
    pub(super) key_revision: u64,
    /// A token that another process left on disk counts only if it was requested after this.
    pub(super) dropped_at: Option<Timestamp>,
    /// The refresher has ended.
    pub(super) is_stopped: bool,
}

#[derive(Debug)]
struct Current {
    token: Arc<OpTok>,
    requested_at: ClockReading,
    refresh_after: Duration,
    usable_for: Duration,
    key_revision: u64,
}

#[derive(Debug)]
struct Failure {
    error: Arc<Error>,
    at: ClockReading,
    delay: Duration,
}

impl TokenState {
    pub(super) fn new(audience: &str) -> Self {
        Self {
            audience: audience.to_owned(),
            current: None,
            reason: RequestReason::Cold,
            failure: None,
            failures: 0,
            refused_young: 0,
            has_succeeded: false,
            epoch: 0,
            key_revision: 0,
            dropped_at: None,
            is_stopped: false,
        }
    }

    /// The state for a new refresher: no token, and what must not be forgotten.
    pub(super) fn successor(&self) -> Self {
        Self { has_succeeded: self.has_succeeded, dropped_at: self.dropped_at, ..Self::new(&self.audience) }
    }

    /// A valid token serves, whatever happened since it was issued. Without one the last failure
    /// answers at once, so that an outage costs callers no time. Callers wait only before the
    /// first outcome.
    pub(super) fn serve(&self, now: ClockReading) -> Serve {
        if let Some(token) = self.usable(now) {
            return Serve::Token(Arc::clone(token));
        }
        match &self.failure {
            _ if self.is_stopped => Serve::Refuse(Error::Stopped),
            Some(failure) => Serve::Refuse(Error::Unavailable {
                audience: self.audience.clone(),
                retry_after: failure.remaining(now).max(RETRY_AFTER_MIN),
                last: Arc::clone(&failure.error),
            }),
            None => Serve::Wait,
        }
    }

    pub(super) fn usable(&self, now: ClockReading) -> Option<&Arc<OpTok>> {
        self.current.as_ref().filter(|current| !current.has_ended(now)).map(|current| &current.token)
    }

    pub(super) fn next(&self, now: ClockReading) -> Next {
        let wait = match (&self.failure, &self.current) {
            (Some(failure), _) => failure.remaining(now),
            (None, Some(current)) if current.key_revision == self.key_revision => {
                let at = current.refresh_after.min(current.usable_for);
                at.saturating_sub(now.since(current.requested_at))
            }
            _ => Duration::ZERO,
        };
        if wait.is_zero() { Next::Request(self.reason) } else { Next::Sleep(wait) }
    }

    /// A token was issued. `key_revision`: the key revision when the request began. `jitter`: a
    /// random number from 0 to 1.
    pub(super) fn issued(&mut self, token: Arc<OpTok>, lifetime: Lifetime, key_revision: u64, jitter: f64) {
        let lived = self.current.as_ref().map(|former| lifetime.requested_at.since(former.requested_at));
        if lived.is_some_and(|lived| lived >= YOUNG) {
            self.refused_young = 0;
        }
        self.current = Some(Current {
            token,
            requested_at: lifetime.requested_at,
            refresh_after: lifetime.refresh_after(jitter),
            usable_for: lifetime.usable_for(),
            key_revision,
        });
        let is_newest_key = key_revision == self.key_revision;
        self.reason = if is_newest_key { RequestReason::Refresh } else { RequestReason::Key };
        self.failure = None;
        self.failures = 0;
        self.has_succeeded = true;
    }

    /// A request brought no token. Returns how long the next one waits.
    pub(super) fn failed(&mut self, error: Error, now: ClockReading, jitter: f64) -> Duration {
        let delay = backoff::delay(self.failures, &error, jitter);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(Failure { error: Arc::new(error), at: now, delay });
        delay
    }

    /// The resource server refused the token of this generation. Returns false if that is not the
    /// current token: it was replaced meanwhile, and the new one was not refused.
    pub(super) fn reject(
        &mut self,
        generation: u64,
        reason: Option<&str>,
        now: ClockReading,
        jitter: f64,
    ) -> bool {
        let Some(current) = self.current.take_if(|current| current.token.generation() == generation) else {
            return false;
        };
        let is_young = now.since(current.requested_at) < YOUNG;
        self.refused_young = if is_young { self.refused_young.saturating_add(1) } else { 1 };
        self.reason = RequestReason::Rejected;
        self.dropped_at = Some(current.requested_at.wall);
        if self.refused_young > 1 {
            // A server that refuses every token must not cause a token request for each.
            self.failures = self.failures.max(self.refused_young);
            self.failed(Error::Rejected { reason: reason.map(str::to_owned) }, now, jitter);
        }
        true
    }

    /// Drops the token if it was requested until `until`, ends the wait after a failure, and
    /// disowns a request on its way. Returns whether a token was dropped.
    ///
    /// A token that was requested later than `now` is dropped too: the clock was set back, and
    /// nobody knows which of the two came first.
    pub(super) fn invalidate(&mut self, until: Timestamp, now: Timestamp) -> bool {
        self.epoch += 1;
        self.failure = None;
        self.refused_young = 0;
        self.dropped_at = Some(until);
        let counts = |requested: Timestamp| requested <= until || requested > now;
        let dropped = self.current.take_if(|current| counts(current.requested_at.wall)).is_some();
        if self.current.is_none() {
            self.reason = RequestReason::Invalidated;
        }
        dropped
    }

    /// There is a new key or certificate. A token for it is requested at once; the old token serves
    /// until that is issued.
    pub(super) fn key_changed(&mut self) {
        self.key_revision += 1;
        self.failure = None;
        self.failures = 0;
        if self.current.is_some() {
            self.reason = RequestReason::Key;
        }
    }

    /// Drops a token that ended unnoticed, as after a suspend. Returns whether there was one.
    pub(super) fn expire(&mut self, now: ClockReading) -> bool {
        self.failure.is_none() && self.current.take_if(|current| current.has_ended(now)).is_some()
    }
}

impl Current {
    fn has_ended(&self, now: ClockReading) -> bool {
        self.usable_for <= now.since(self.requested_at)
    }
}

impl Failure {
    fn remaining(&self, now: ClockReading) -> Duration {
        self.delay.saturating_sub(now.since(self.at))
    }
}

#[cfg(test)]
mod tests;
