use zastava_core::clock::ManualClock;
use zastava_core::secret::Secret;

use super::*;

fn wall(second: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_000_000 + second)
}

/// By a wall clock that is right.
fn at(second: i64) -> ClockReading {
    ClockReading::now(&ManualClock::new(wall(second)))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A state whose token of generation 1 was issued at second 0.
fn state(life: i64, skew: u64, jitter: f64) -> TokenState {
    let mut state = TokenState::new("scanner");
    issue(&mut state, 1, 0, life, skew, jitter);
    state
}

fn issue(state: &mut TokenState, generation: u64, second: i64, life: i64, skew: u64, jitter: f64) {
    let secret = Secret::new("t".to_owned());
    let token = OpTok::new(secret, "scanner", wall(second + life), generation, None).unwrap();
    let lifetime = Lifetime::new(at(second), token.expires_at(), seconds(skew));
    state.issued(Arc::new(token), lifetime, state.key_revision, jitter);
}

fn timeout() -> Error {
    Error::Timeout { url: "https://a.test/token".to_owned(), after: seconds(1) }
}

fn serves(state: &TokenState, second: i64) -> char {
    match state.serve(at(second)) {
        Serve::Token(_) => 'u',
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
        let Next::Sleep(found) = state(life, skew, jitter).next(at(0)) else { panic!("{life} {skew}") };
        assert!(found.abs_diff(expected) < Duration::from_millis(1), "{life} {skew} {jitter}: {found:?}");
    }
}

#[test]
fn a_token_serves_until_five_seconds_before_its_end() {
    let state = state(120, 60, 0.0);
    assert_eq!(
        [0, 60, 114, 115, 120, 500].map(|second| serves(&state, second)),
        ['u', 'u', 'u', 'w', 'w', 'w']
    );
    assert_eq!(state.next(at(60)), Next::Request(RequestReason::Refresh));
}

#[test]
fn failures_keep_a_valid_token_and_answer_for_an_expired_one() {
    let mut state = state(120, 60, 0.0);
    state.failed(timeout(), at(60), 1.0);
    assert_eq!([61, 114, 115].map(|second| serves(&state, second)), ['u', 'u', 'r']);
    assert!(matches!(state.next(at(60)), Next::Sleep(_)));
    assert_eq!(state.next(at(61)), Next::Request(RequestReason::Refresh));
    issue(&mut state, 2, 116, 120, 60, 0.5);
    assert_eq!(serves(&state, 116), 'u');
}

#[test]
fn a_cold_state_waits_then_refuses_until_it_succeeds() {
    let mut state = TokenState::new("scanner");
    assert_eq!((serves(&state, 0), state.next(at(0))), ('w', Next::Request(RequestReason::Cold)));
    state.failed(timeout(), at(0), 1.0);
    let Serve::Refuse(error) = state.serve(at(0)) else { panic!("serves nothing") };
    assert_eq!(error.retry_after(), Some(Duration::from_millis(500)));
    // A retry on its way does not make callers wait.
    assert_eq!((serves(&state, 99), state.next(at(99))), ('r', Next::Request(RequestReason::Cold)));
}

#[test]
fn only_the_current_generation_can_be_rejected() {
    let mut state = state(120, 60, 0.0);
    issue(&mut state, 2, 60, 120, 60, 0.5);
    assert!(!state.reject(1, None, at(61), 0.5));
    assert_eq!(serves(&state, 61), 'u');
    assert!(state.reject(2, None, at(100), 0.5));
    assert!(!state.reject(2, None, at(100), 0.5));
    assert_eq!((serves(&state, 100), state.next(at(100))), ('w', Next::Request(RequestReason::Rejected)));
}

#[test]
fn rejections_in_a_row_are_slowed_down() {
    let mut state = state(120, 60, 0.0);
    assert!(state.reject(1, None, at(1), 0.5));
    issue(&mut state, 2, 1, 120, 60, 0.5);
    assert!(state.reject(2, None, at(2), 0.5));
    assert_eq!(serves(&state, 2), 'r');
    assert!(matches!(state.next(at(2)), Next::Sleep(_)));
    // A token that did its work first is another matter.
    issue(&mut state, 3, 10, 120, 60, 0.5);
    assert!(state.reject(3, None, at(50), 0.5));
    assert_eq!(state.next(at(50)), Next::Request(RequestReason::Rejected));
    // And so is one whose predecessor did.
    issue(&mut state, 4, 50, 120, 60, 0.5);
    issue(&mut state, 5, 110, 120, 60, 0.5);
    assert!(state.reject(5, None, at(111), 0.5));
    assert_eq!(state.next(at(111)), Next::Request(RequestReason::Rejected));
}

#[test]
fn invalidation_requests_at_once_even_after_failures() {
    let mut state = state(120, 60, 0.0);
    state.failed(timeout(), at(60), 1.0);
    assert!(state.invalidate(wall(60), wall(60)));
    assert!(!state.invalidate(wall(60), wall(60)));
    assert_eq!((serves(&state, 60), state.next(at(60))), ('w', Next::Request(RequestReason::Invalidated)));
    assert_eq!(state.epoch, 2);
}

#[test]
fn an_invalidation_spares_what_was_requested_after_it() {
    let mut state = state(120, 60, 0.0);
    assert!(!state.invalidate(wall(-1), wall(5)));
    assert_eq!((serves(&state, 0), state.next(at(60))), ('u', Next::Request(RequestReason::Refresh)));
}

#[test]
fn an_invalidation_counts_when_the_clock_was_set_back() {
    let mut state = state(120, 60, 0.0);
    assert!(state.invalidate(wall(-3600), wall(-3600)));
    assert_eq!((serves(&state, 0), state.next(at(0))), ('w', Next::Request(RequestReason::Invalidated)));
}

#[test]
fn a_new_key_replaces_the_token_and_lets_it_serve_meanwhile() {
    let mut state = state(120, 60, 0.0);
    state.failed(timeout(), at(60), 1.0);
    state.key_changed();
    assert_eq!((serves(&state, 60), state.next(at(60))), ('u', Next::Request(RequestReason::Key)));
    // A second key came while a token for the first was on its way.
    let before = state.key_revision;
    state.key_changed();
    let token = OpTok::new(Secret::new("t".to_owned()), "scanner", wall(180), 2, None).unwrap();
    let lifetime = Lifetime::new(at(60), token.expires_at(), seconds(60));
    state.issued(Arc::new(token), lifetime, before, 0.0);
    assert_eq!((serves(&state, 61), state.next(at(61))), ('u', Next::Request(RequestReason::Key)));
    issue(&mut state, 3, 61, 120, 60, 0.0);
    assert_eq!(state.next(at(61)), Next::Sleep(seconds(60)));
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
    let mut state = TokenState::new("scanner");
    let token = OpTok::new(Secret::new("t".to_owned()), "scanner", wall(120), 1, None).unwrap();
    let lifetime = Lifetime::new(ClockReading::now(&Clocks(0, 1000)), token.expires_at(), seconds(60));
    state.issued(Arc::new(token), lifetime, 0, 0.0);
    let serves = |wall, boot| matches!(state.serve(ClockReading::now(&Clocks(wall, boot))), Serve::Token(_));
    assert!(serves(114, 1114));
    assert!(!serves(-3600, 1115), "a wall clock that was set back gives no more life");
    assert!(!serves(600, 1001), "nor does a clock that slept while the wall clock went on");
    assert!(!serves(0, 1600));
}

#[test]
fn a_thousand_tokens_of_one_second_are_refreshed_over_many() {
    let mut buckets = [0; 120];
    let mut seed = 1_u64;
    for _ in 0..1000 {
        // A linear congruential generator: the test must not fail by chance.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let jitter = (seed >> 11) as f64 / (1_u64 << 53) as f64;
        let Next::Sleep(after) = state(120, 120, jitter).next(at(0)) else { panic!("it is new") };
        buckets[usize::try_from(after.as_secs()).unwrap()] += 1;
    }
    assert!(buckets.iter().all(|count| *count <= 50), "{buckets:?}");
}
