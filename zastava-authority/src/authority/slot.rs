//! What is known about one audience's token, and what to do next. Pure: every method takes `now`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;

use super::backoff;
use super::life::Life;
use crate::error::Error;
use crate::moment::Moment;
use crate::token::OpTok;

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
    /// The former one is bound to a key or a certificate that was replaced.
    Key,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Refresh => "refresh",
            Self::Invalidated => "invalidated",
            Self::Rejected => "rejected",
            Self::Key => "key",
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
    /// Rises with every new key or certificate: a request from before it brings a token that
    /// serves, but is replaced at once.
    pub(super) keys: u64,
    /// Tokens that others left on disk count only if they were requested later than this.
    pub(super) dropped_at: Option<Timestamp>,
    /// The keeper is gone.
    pub(super) stopped: bool,
}

#[derive(Debug)]
struct Current {
    token: Arc<OpTok>,
    requested_at: Moment,
    refresh_after: Duration,
    usable_for: Duration,
    keys: u64,
}

#[derive(Debug)]
struct Failure {
    error: Arc<Error>,
    at: Moment,
    delay: Duration,
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
            keys: 0,
            dropped_at: None,
            stopped: false,
        }
    }

    /// For a new keeper, after the former one is gone: no token, and what must not be forgotten.
    pub(super) fn successor(&self) -> Self {
        Self { succeeded: self.succeeded, dropped_at: self.dropped_at, ..Self::new(&self.audience) }
    }

    /// A valid token serves whatever happened since; without one the last failure does, so that an
    /// outage costs callers no time. Only who comes before the first outcome waits.
    pub(super) fn serve(&self, now: Moment) -> Serve {
        if let Some(token) = self.usable(now) {
            return Serve::Use(Arc::clone(token));
        }
        match &self.failure {
            _ if self.stopped => Serve::Refuse(Error::Stopped),
            Some(failure) => Serve::Refuse(Error::Unavailable {
                audience: self.audience.clone(),
                retry_after: failure.remaining(now).max(RETRY_AFTER_MIN),
                last: Arc::clone(&failure.error),
            }),
            None => Serve::Wait,
        }
    }

    pub(super) fn usable(&self, now: Moment) -> Option<&Arc<OpTok>> {
        let usable =
            self.current.as_ref().filter(|current| now.since(current.requested_at) < current.usable_for);
        usable.map(|current| &current.token)
    }

    pub(super) fn next(&self, now: Moment) -> Next {
        let wait = match (&self.failure, &self.current) {
            (Some(failure), _) => failure.remaining(now),
            (None, Some(current)) if current.keys == self.keys => {
                let at = current.refresh_after.min(current.usable_for);
                at.saturating_sub(now.since(current.requested_at))
            }
            (None, _) => Duration::ZERO,
        };
        if wait.is_zero() { Next::Fetch(self.due) } else { Next::Sleep(wait) }
    }

    /// A token came, requested when `keys` was what it is in there; `jitter` is a random number
    /// from 0 to 1.
    pub(super) fn issued(&mut self, token: Arc<OpTok>, life: Life, keys: u64, jitter: f64) {
        let lived = self.current.as_ref().map(|former| life.requested_at.since(former.requested_at));
        if lived.is_some_and(|lived| lived >= YOUNG) {
            self.strikes = 0;
        }
        self.current = Some(Current {
            token,
            requested_at: life.requested_at,
            refresh_after: life.refresh_after(jitter),
            usable_for: life.usable_for(),
            keys,
        });
        self.due = if keys == self.keys { Cause::Refresh } else { Cause::Key };
        self.failure = None;
        self.failures = 0;
        self.succeeded = true;
    }

    /// A request brought none. Returns how long the next one waits.
    pub(super) fn failed(&mut self, error: Error, now: Moment, jitter: f64) -> Duration {
        let delay = backoff::delay(self.failures, &error, jitter);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(Failure { error: Arc::new(error), at: now, delay });
        delay
    }

    /// The resource server refused the token of this generation. False when it is not the current
    /// one: it was replaced meanwhile, and the new one did no wrong.
    pub(super) fn reject(&mut self, generation: u64, now: Moment, jitter: f64) -> bool {
        let Some(current) = self.current.take_if(|current| current.token.generation() == generation) else {
            return false;
        };
        let young = now.since(current.requested_at) < YOUNG;
        self.strikes = if young { self.strikes.saturating_add(1) } else { 1 };
        self.due = Cause::Rejected;
        self.dropped_at = Some(current.requested_at.wall);
        if self.strikes > 1 {
            // A server that refuses whatever Authority issues must not drive a request each.
            self.failures = self.failures.max(self.strikes);
            self.failed(Error::Rejected, now, jitter);
        }
        true
    }

    /// Drops a token that was requested until `until`, gives up waiting after a failure, and
    /// disowns a request on its way. One that was requested later than `now` is dropped too: the
    /// clock was set back, and nobody knows which of the two came first.
    pub(super) fn invalidate(&mut self, until: Timestamp, now: Timestamp) -> bool {
        self.epoch += 1;
        self.failure = None;
        self.strikes = 0;
        self.dropped_at = Some(until);
        let counts = |requested: Timestamp| requested <= until || requested > now;
        let dropped = self.current.take_if(|current| counts(current.requested_at.wall)).is_some();
        if self.current.is_none() {
            self.due = Cause::Invalidated;
        }
        dropped
    }

    /// There is a new key or certificate: a token for it is requested at once, and until that
    /// comes the old one serves.
    pub(super) fn renew(&mut self) {
        self.keys += 1;
        self.failure = None;
        self.failures = 0;
        if self.current.is_some() {
            self.due = Cause::Key;
        }
    }

    /// Drops a token that ended while nobody looked, as after a suspend; true when there was one.
    pub(super) fn expire(&mut self, now: Moment) -> bool {
        let ended = |current: &mut Current| current.usable_for <= now.since(current.requested_at);
        self.failure.is_none() && self.current.take_if(ended).is_some()
    }

    /// For `/status`.
    pub(super) fn status(&self, now: Moment) -> Value {
        let state = match self.serve(now) {
            Serve::Use(_) => "valid",
            Serve::Wait => "pending",
            Serve::Refuse(_) => "unavailable",
        };
        let mut status = json!({"audience": self.audience, "state": state});
        if let Some(Current { token, requested_at, refresh_after, .. }) = &self.current {
            status["tokenType"] = if token.is_dpop() { "DPoP" } else { "Bearer" }.into();
            status["generation"] = token.generation().into();
            status["expiresAt"] = json!(token.expires_at());
            status["refreshAt"] = json!(requested_at.wall.saturating_add(*refresh_after));
        }
        if let Some(failure) = &self.failure {
            status["lastError"] = failure.error.to_string().into();
            status["retryAt"] = json!(failure.at.wall.saturating_add(failure.delay));
            status["failures"] = self.failures.into();
        }
        status
    }
}

impl Failure {
    fn remaining(&self, now: Moment) -> Duration {
        self.delay.saturating_sub(now.since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::clock::ManualClock;
    use zastava_core::secret::Secret;

    use super::*;

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000_000 + second)
    }

    /// By a wall clock that is right.
    fn at(second: i64) -> Moment {
        Moment::now(&ManualClock::new(wall(second)))
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
        let secret = Secret::new("t".to_owned());
        let token = OpTok::new(secret, "scanner", wall(second + life), generation, None).unwrap();
        let life = Life::new(at(second), token.expires_at(), seconds(skew));
        slot.issued(Arc::new(token), life, slot.keys, jitter);
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
            (120, 120, 0.0, 60.0),
            (120, 120, 0.5, 78.0),
            (120, 120, 1.0, 96.0),
            (120, 30, 0.0, 90.0),
            (300, 120, 0.0, 180.0),
            (300, 120, 1.0, 252.0),
            (120, 0, 0.5, 115.0),
            (8, 120, 0.0, 4.0),
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
        let slot = slot(120, 60, 0.0);
        assert_eq!(
            [0, 60, 114, 115, 120, 500].map(|second| serves(&slot, second)),
            ['u', 'u', 'u', 'w', 'w', 'w']
        );
        assert_eq!(slot.next(at(60)), Next::Fetch(Cause::Refresh));
    }

    #[test]
    fn failures_keep_a_valid_token_and_answer_for_an_expired_one() {
        let mut slot = slot(120, 60, 0.0);
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
        let mut slot = slot(120, 60, 0.0);
        issue(&mut slot, 2, 60, 120, 60, 0.5);
        assert!(!slot.reject(1, at(61), 0.5));
        assert_eq!(serves(&slot, 61), 'u');
        assert!(slot.reject(2, at(100), 0.5));
        assert!(!slot.reject(2, at(100), 0.5));
        assert_eq!((serves(&slot, 100), slot.next(at(100))), ('w', Next::Fetch(Cause::Rejected)));
    }

    #[test]
    fn rejections_in_a_row_are_slowed_down() {
        let mut slot = slot(120, 60, 0.0);
        assert!(slot.reject(1, at(1), 0.5));
        issue(&mut slot, 2, 1, 120, 60, 0.5);
        assert!(slot.reject(2, at(2), 0.5));
        assert_eq!(serves(&slot, 2), 'r');
        assert!(matches!(slot.next(at(2)), Next::Sleep(_)));
        // A token that did its work first is another matter.
        issue(&mut slot, 3, 10, 120, 60, 0.5);
        assert!(slot.reject(3, at(50), 0.5));
        assert_eq!(slot.next(at(50)), Next::Fetch(Cause::Rejected));
        // And so is one whose predecessor did.
        issue(&mut slot, 4, 50, 120, 60, 0.5);
        issue(&mut slot, 5, 110, 120, 60, 0.5);
        assert!(slot.reject(5, at(111), 0.5));
        assert_eq!(slot.next(at(111)), Next::Fetch(Cause::Rejected));
    }

    #[test]
    fn invalidation_requests_at_once_even_after_failures() {
        let mut slot = slot(120, 60, 0.0);
        slot.failed(Error::Timeout { after: seconds(1) }, at(60), 1.0);
        assert!(slot.invalidate(wall(60), wall(60)));
        assert!(!slot.invalidate(wall(60), wall(60)));
        assert_eq!((serves(&slot, 60), slot.next(at(60))), ('w', Next::Fetch(Cause::Invalidated)));
        assert_eq!(slot.epoch, 2);
    }

    #[test]
    fn an_invalidation_spares_what_was_requested_after_it() {
        let mut slot = slot(120, 60, 0.0);
        assert!(!slot.invalidate(wall(-1), wall(5)));
        assert_eq!((serves(&slot, 0), slot.next(at(60))), ('u', Next::Fetch(Cause::Refresh)));
    }

    #[test]
    fn an_invalidation_counts_when_the_clock_was_set_back() {
        let mut slot = slot(120, 60, 0.0);
        assert!(slot.invalidate(wall(-3600), wall(-3600)));
        assert_eq!((serves(&slot, 0), slot.next(at(0))), ('w', Next::Fetch(Cause::Invalidated)));
    }

    #[test]
    fn a_new_key_replaces_the_token_and_lets_it_serve_meanwhile() {
        let mut slot = slot(120, 60, 0.0);
        slot.failed(Error::Timeout { after: seconds(1) }, at(60), 1.0);
        slot.renew();
        assert_eq!((serves(&slot, 60), slot.next(at(60))), ('u', Next::Fetch(Cause::Key)));
        // A second key came while a token for the first was on its way.
        let before = slot.keys;
        slot.renew();
        let token = OpTok::new(Secret::new("t".to_owned()), "scanner", wall(180), 2, None).unwrap();
        let life = Life::new(at(60), token.expires_at(), seconds(60));
        slot.issued(Arc::new(token), life, before, 0.0);
        assert_eq!((serves(&slot, 61), slot.next(at(61))), ('u', Next::Fetch(Cause::Key)));
        issue(&mut slot, 3, 61, 120, 60, 0.0);
        assert_eq!(slot.next(at(61)), Next::Sleep(seconds(60)));
    }

    /// Two clocks that are set apart.
    #[derive(Debug)]
    struct Clocks(i64, u64);

    impl zastava_core::clock::Clock for Clocks {
        fn now(&self) -> Timestamp {
            wall(self.0)
        }

        fn since_boot(&self) -> Duration {
            seconds(self.1)
        }
    }

    #[test]
    fn the_clock_that_says_older_is_believed() {
        let mut slot = Slot::new("scanner");
        let token = OpTok::new(Secret::new("t".to_owned()), "scanner", wall(120), 1, None).unwrap();
        let life = Life::new(Moment::now(&Clocks(0, 1000)), token.expires_at(), seconds(60));
        slot.issued(Arc::new(token), life, 0, 0.0);
        let serves = |wall, boot| matches!(slot.serve(Moment::now(&Clocks(wall, boot))), Serve::Use(_));
        assert!(serves(114, 1114));
        assert!(!serves(-3600, 1115), "a wall clock that was set back gives no more life");
        assert!(!serves(600, 1001), "nor does a clock that slept while the wall clock went on");
        assert!(!serves(0, 1600));
    }

    #[test]
    fn a_thousand_tokens_of_one_second_are_refreshed_over_many() {
        let mut buckets = [0; 120];
        let mut state = 1_u64;
        for _ in 0..1000 {
            // A linear congruential generator: the test must not fail by chance.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let jitter = (state >> 11) as f64 / (1_u64 << 53) as f64;
            let Next::Sleep(after) = slot(120, 120, jitter).next(at(0)) else { panic!("it is new") };
            buckets[usize::try_from(after.as_secs()).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|count| *count <= 50), "{buckets:?}");
    }
}
