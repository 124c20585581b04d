//! What is known about one audience's token, and what to do next. Pure: every method takes `now`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;

use super::backoff;
use crate::error::Error;
use crate::token::OpTok;

/// A token is not given out this close to its end, or within the last quarter of a short life.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// A refreshing instant moves by up to this share of its lead, so that a fleet spreads out.
const REFRESH_JITTER: f64 = 0.1;
/// A token that is refused within this time was refused at once: the next one may fare no better.
const YOUNG: Duration = Duration::from_secs(30);
/// The shortest wait that callers are told, while a retry is on its way.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);

/// Why a token is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was none.
    Cold,
    /// The former one ends soon, or ended.
    Refresh,
    /// An operator dropped the former one.
    Invalidated,
    /// The resource server refused the former one.
    Rejected,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Refresh => "refresh",
            Self::Invalidated => "invalidated",
            Self::Rejected => "rejected",
        }
    }
}

/// What a caller gets.
#[derive(Debug)]
pub(super) enum Serve {
    /// This token.
    Use(Arc<OpTok>),
    /// The outcome of the request that is on its way.
    Wait,
    /// The outcome of the last request.
    Refuse(Error),
}

/// What the keeper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Fetch(Cause),
    /// Nothing for this long.
    Sleep(Duration),
}

#[derive(Debug)]
pub(super) struct Slot {
    audience: String,
    current: Option<Current>,
    /// Why the next request will be made.
    due: Cause,
    failure: Option<Failure>,
    failures: u32,
    /// Tokens in a row that were refused while young.
    strikes: u32,
    /// Whether a token was ever had from Authority.
    pub(super) succeeded: bool,
    /// Rises with every invalidation: a request from before it brings nothing that counts.
    pub(super) epoch: u64,
    /// The keeper is gone.
    pub(super) stopped: bool,
}

#[derive(Debug)]
struct Current {
    token: Arc<OpTok>,
    issued_at: Timestamp,
    refresh_at: Timestamp,
    usable_until: Timestamp,
}

#[derive(Debug)]
struct Failure {
    error: Arc<Error>,
    retry_at: Timestamp,
}

impl Slot {
    pub(super) fn new(audience: &str) -> Self {
        Self {
            audience: audience.to_owned(),
            current: None,
            due: Cause::Cold,
            failure: None,
            failures: 0,
            strikes: 0,
            succeeded: false,
            epoch: 0,
            stopped: false,
        }
    }

    /// A valid token serves whatever happened since; without one the last failure does, so that an
    /// outage costs callers no time. Only who comes before the first outcome waits.
    pub(super) fn serve(&self, now: Timestamp) -> Serve {
        match (&self.current, &self.failure) {
            (Some(current), _) if now < current.usable_until => Serve::Use(Arc::clone(&current.token)),
            _ if self.stopped => Serve::Refuse(Error::Stopped),
            (_, Some(failure)) => Serve::Refuse(Error::Unavailable {
                audience: self.audience.clone(),
                retry_after: failure.retry_at.saturating_since(now).max(RETRY_AFTER_MIN),
                last: Arc::clone(&failure.error),
            }),
            _ => Serve::Wait,
        }
    }

    pub(super) fn next(&self, now: Timestamp) -> Next {
        let at = match (&self.failure, &self.current) {
            (Some(failure), _) => failure.retry_at,
            (None, Some(current)) => current.refresh_at.min(current.usable_until),
            (None, None) => now,
        };
        if at <= now { Next::Fetch(self.due) } else { Next::Sleep(at.saturating_since(now)) }
    }

    /// A token came; `jitter` is a random number from 0 to 1.
    pub(super) fn issued(&mut self, token: Arc<OpTok>, issued_at: Timestamp, skew: Duration, jitter: f64) {
        let life = token.expires_at().saturating_since(issued_at);
        let margin = EXPIRY_MARGIN.min(life / 4);
        let lead = skew.min(life / 2).mul_f64(1.0 + REFRESH_JITTER * (2.0 * jitter - 1.0)).max(margin);
        self.current = Some(Current {
            issued_at,
            refresh_at: issued_at.saturating_add(life.saturating_sub(lead)),
            usable_until: issued_at.saturating_add(life - margin),
            token,
        });
        self.due = Cause::Refresh;
        self.failure = None;
        self.failures = 0;
        self.succeeded = true;
    }

    /// A request brought none. Returns how long the next one waits.
    pub(super) fn failed(&mut self, error: Error, now: Timestamp, jitter: f64) -> Duration {
        let delay = backoff::delay(self.failures, &error, jitter);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(Failure { error: Arc::new(error), retry_at: now.saturating_add(delay) });
        delay
    }

    /// The resource server refused the token of this generation. False when it is not the current
    /// one: it was replaced meanwhile, and the new one did no wrong.
    pub(super) fn reject(&mut self, generation: u64, now: Timestamp, jitter: f64) -> bool {
        let Some(current) = self.current.take_if(|current| current.token.generation() == generation) else {
            return false;
        };
        let young = now.saturating_since(current.issued_at) < YOUNG;
        self.strikes = if young { self.strikes.saturating_add(1) } else { 1 };
        self.due = Cause::Rejected;
        if self.strikes > 1 {
            // A server that refuses whatever Authority issues must not drive a request each.
            self.failures = self.failures.max(self.strikes);
            self.failed(Error::Rejected, now, jitter);
        }
        true
    }

    /// Drops the token, gives up waiting after a failure, and disowns a request on its way.
    pub(super) fn invalidate(&mut self) -> bool {
        self.epoch += 1;
        self.failure = None;
        self.strikes = 0;
        self.due = Cause::Invalidated;
        self.current.take().is_some()
    }

    /// Drops a token that ended while nobody looked, as after a suspend; true when there was one.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        self.failure.is_none() && self.current.take_if(|current| current.usable_until <= now).is_some()
    }

    /// For `/status`.
    pub(super) fn status(&self, now: Timestamp) -> Value {
        let state = match self.serve(now) {
            Serve::Use(_) => "valid",
            Serve::Wait => "pending",
            Serve::Refuse(_) => "unavailable",
        };
        let mut status = json!({"audience": self.audience, "state": state});
        if let Some(Current { token, refresh_at, .. }) = &self.current {
            status["tokenType"] = if token.is_dpop() { "DPoP" } else { "Bearer" }.into();
            status["generation"] = token.generation().into();
            status["expiresAt"] = json!(token.expires_at());
            status["refreshAt"] = json!(refresh_at);
        }
        if let Some(Failure { error, retry_at }) = &self.failure {
            status["lastError"] = error.to_string().into();
            status["retryAt"] = json!(retry_at);
            status["failures"] = self.failures.into();
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::secret::Secret;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000_000 + second)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A slot whose token of generation 1 was issued at second 0.
    fn slot(life: i64, skew: u64, jitter: f64) -> Slot {
        let mut slot = Slot::new("scanner");
        issue(&mut slot, 1, 0, life, skew, jitter);
        slot
    }

    fn issue(slot: &mut Slot, generation: u64, second: i64, life: i64, skew: u64, jitter: f64) {
        let token = OpTok {
            token: Secret::new("t".to_owned()),
            audience: "scanner".to_owned(),
            expires_at: at(second + life),
            thumbprint: None,
            generation,
            is_static: false,
        };
        slot.issued(Arc::new(token), at(second), seconds(skew), jitter);
    }

    fn serves(slot: &Slot, second: i64) -> char {
        match slot.serve(at(second)) {
            Serve::Use(_) => 'u',
            Serve::Wait => 'w',
            Serve::Refuse(_) => 'r',
        }
    }

    #[test]
    fn refresh_leads_the_end_by_the_skew_or_half_of_the_life() {
        // life, skew, jitter, refresh after
        let rows = [
            (120, 120, 0.5, 60.0),
            (120, 30, 0.5, 90.0),
            (120, 120, 0.0, 66.0),
            (120, 120, 1.0, 54.0),
            (300, 120, 0.5, 180.0),
            (120, 0, 0.5, 115.0),
            (8, 120, 0.5, 4.0),
            (8, 0, 0.5, 6.0),
        ];
        for (life, skew, jitter, expected) in rows {
            let expected = Duration::from_secs_f64(expected);
            let Next::Sleep(found) = slot(life, skew, jitter).next(at(0)) else { panic!("{life} {skew}") };
            assert!(found.abs_diff(expected) < Duration::from_millis(1), "{life} {skew} {jitter}: {found:?}");
        }
    }

    #[test]
    fn a_token_serves_until_five_seconds_before_its_end() {
        let slot = slot(120, 60, 0.5);
        assert_eq!(
            [0, 60, 114, 115, 120, 500].map(|second| serves(&slot, second)),
            ['u', 'u', 'u', 'w', 'w', 'w']
        );
        assert_eq!(slot.next(at(60)), Next::Fetch(Cause::Refresh));
    }

    #[test]
    fn failures_keep_a_valid_token_and_answer_for_an_expired_one() {
        let mut slot = slot(120, 60, 0.5);
        slot.failed(Error::Timeout { after: seconds(1) }, at(60), 1.0);
        assert_eq!([61, 114, 115].map(|second| serves(&slot, second)), ['u', 'u', 'r']);
        assert!(matches!(slot.next(at(60)), Next::Sleep(_)));
        assert_eq!(slot.next(at(61)), Next::Fetch(Cause::Refresh));
        issue(&mut slot, 2, 116, 120, 60, 0.5);
        assert_eq!(serves(&slot, 116), 'u');
    }

    #[test]
    fn a_cold_slot_waits_then_refuses_until_it_succeeds() {
        let mut slot = Slot::new("scanner");
        assert_eq!((serves(&slot, 0), slot.next(at(0))), ('w', Next::Fetch(Cause::Cold)));
        slot.failed(Error::Timeout { after: seconds(1) }, at(0), 1.0);
        let Serve::Refuse(error) = slot.serve(at(0)) else { panic!("serves nothing") };
        assert_eq!(error.retry_after(), Some(Duration::from_millis(500)));
        // A retry on its way does not make callers wait.
        assert_eq!((serves(&slot, 99), slot.next(at(99))), ('r', Next::Fetch(Cause::Cold)));
    }

    #[test]
    fn only_the_current_generation_can_be_rejected() {
        let mut slot = slot(120, 60, 0.5);
        issue(&mut slot, 2, 60, 120, 60, 0.5);
        assert!(!slot.reject(1, at(61), 0.5));
        assert_eq!(serves(&slot, 61), 'u');
        assert!(slot.reject(2, at(100), 0.5));
        assert!(!slot.reject(2, at(100), 0.5));
        assert_eq!((serves(&slot, 100), slot.next(at(100))), ('w', Next::Fetch(Cause::Rejected)));
    }

    #[test]
    fn rejections_in_a_row_are_slowed_down() {
        let mut slot = slot(120, 60, 0.5);
        assert!(slot.reject(1, at(1), 0.5));
        issue(&mut slot, 2, 1, 120, 60, 0.5);
        assert!(slot.reject(2, at(2), 0.5));
        assert_eq!(serves(&slot, 2), 'r');
        assert!(matches!(slot.next(at(2)), Next::Sleep(_)));
        // A token that did its work first is another matter.
        issue(&mut slot, 3, 10, 120, 60, 0.5);
        assert!(slot.reject(3, at(50), 0.5));
        assert_eq!(slot.next(at(50)), Next::Fetch(Cause::Rejected));
    }

    #[test]
    fn invalidation_requests_at_once_even_after_failures() {
        let mut slot = slot(120, 60, 0.5);
        slot.failed(Error::Timeout { after: seconds(1) }, at(60), 1.0);
        assert!(slot.invalidate());
        assert!(!slot.invalidate());
        assert_eq!((serves(&slot, 60), slot.next(at(60))), ('w', Next::Fetch(Cause::Invalidated)));
        assert_eq!(slot.epoch, 2);
    }
}
