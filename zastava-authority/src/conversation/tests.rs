use http::header::DATE;

use super::Reply::{Accepted, NonceRequired, Other, ProofRefused, TokenRefused};
use super::Step::{Done, RetryWithClock, RetryWithNonce, RetryWithToken};
use super::*;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const NOW: i64 = 784_111_777;
const DATE_NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// Four minutes later.
const DATE_AHEAD: &str = "Sun, 06 Nov 1994 08:53:37 GMT";

/// An answer, the step that it asks for, and what the next attempt is sent with: its nonce, and the
/// seconds that its time is ahead of our clock.
struct Row {
    reply: Reply,
    nonce: Option<&'static str>,
    date: &'static str,
    step: Step,
    next: (Option<&'static str>, i64),
}

const fn row(
    reply: Reply,
    nonce: Option<&'static str>,
    date: &'static str,
    step: Step,
    next: (Option<&'static str>, i64),
) -> Row {
    Row { reply, nonce, date, step, next }
}

fn headers(nonce: Option<&str>, date: &str) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
    nonce.map(|nonce| headers.insert("dpop-nonce", nonce.parse().unwrap()));
    headers
}

/// One request whose attempts get these answers in turn.
#[track_caller]
fn converse(learned: &Arc<Learned>, rows: &[Row]) {
    let (origin, now) = (Arc::from("https://a"), Timestamp::from_unix_seconds(NOW));
    let mut conversation = Conversation::new(learned);
    let mut attempt = conversation.attempt(&origin, now);
    for (number, row) in rows.iter().enumerate() {
        let step = conversation.observe(&attempt, row.reply, &headers(row.nonce, row.date), now);
        assert_eq!(step, row.step, "answer {number}");
        attempt = conversation.attempt(&origin, now);
        let next = (attempt.nonce.as_deref(), attempt.issued_at().unix_seconds() - NOW);
        assert_eq!(next, row.next, "attempt after answer {number}");
    }
}

#[track_caller]
fn check(rows: &[Row]) {
    converse(&Arc::default(), rows);
}

#[test]
fn a_success_is_final_and_may_bring_a_nonce() {
    check(&[row(Accepted, None, DATE_NOW, Done, (None, 0))]);
    check(&[row(Accepted, Some("n"), DATE_NOW, Done, (Some("n"), 0))]);
    check(&[row(Other, Some("n"), DATE_NOW, Done, (Some("n"), 0))]);
}

#[test]
fn a_challenge_is_answered_twice_and_only_with_another_nonce() {
    check(&[
        row(NonceRequired, Some("1"), DATE_NOW, RetryWithNonce, (Some("1"), 0)),
        row(NonceRequired, Some("2"), DATE_NOW, RetryWithNonce, (Some("2"), 0)),
        row(NonceRequired, Some("3"), DATE_NOW, Done, (Some("3"), 0)),
    ]);
    check(&[row(NonceRequired, None, DATE_NOW, Done, (None, 0))]);
    check(&[
        row(NonceRequired, Some("1"), DATE_NOW, RetryWithNonce, (Some("1"), 0)),
        row(NonceRequired, Some("1"), DATE_NOW, Done, (Some("1"), 0)),
    ]);
}

#[test]
fn a_refused_token_is_replaced_once() {
    check(&[
        row(TokenRefused, None, DATE_NOW, RetryWithToken, (None, 0)),
        row(NonceRequired, Some("1"), DATE_NOW, RetryWithNonce, (Some("1"), 0)),
        row(TokenRefused, None, DATE_NOW, Done, (Some("1"), 0)),
    ]);
}

#[test]
fn a_refused_proof_is_dated_anew_once_and_only_if_the_clocks_differ() {
    check(&[row(ProofRefused, None, DATE_NOW, Done, (None, 0))]);
    check(&[
        row(ProofRefused, None, DATE_AHEAD, RetryWithClock, (None, 240)),
        row(ProofRefused, None, DATE_AHEAD, Done, (None, 240)),
    ]);
    check(&[
        row(ProofRefused, None, DATE_AHEAD, RetryWithClock, (None, 240)),
        row(NonceRequired, Some("1"), DATE_AHEAD, RetryWithNonce, (Some("1"), 240)),
        row(Accepted, None, DATE_AHEAD, Done, (Some("1"), 240)),
    ]);
}

#[test]
fn the_clock_whose_proof_was_accepted_is_kept_for_later_requests() {
    let learned = Arc::default();
    // The `Date` is wrong: the first success teaches it, and the next proof is refused for it.
    converse(&learned, &[row(Accepted, None, DATE_AHEAD, Done, (None, 240))]);
    converse(
        &learned,
        &[
            row(ProofRefused, None, DATE_AHEAD, RetryWithClock, (None, 0)),
            row(Accepted, None, DATE_AHEAD, Done, (None, 0)),
        ],
    );
    converse(&learned, &[row(Accepted, None, DATE_AHEAD, Done, (None, 0))]);
}

#[test]
fn a_refusal_for_another_reason_does_not_change_the_clock_of_others() {
    let learned = Arc::default();
    converse(&learned, &[row(Accepted, None, DATE_AHEAD, Done, (None, 240))]);
    converse(
        &learned,
        &[
            row(ProofRefused, None, DATE_AHEAD, RetryWithClock, (None, 0)),
            row(Other, None, DATE_AHEAD, Done, (None, 0)),
        ],
    );
    converse(&learned, &[row(Accepted, None, DATE_AHEAD, Done, (None, 240))]);
}

#[test]
fn the_last_nonce_is_known_before_it_is_sent() {
    let (origin, now) = (Arc::from("https://a"), Timestamp::from_unix_seconds(NOW));
    let mut conversation = Conversation::new(&Arc::default());
    for (nonce, is_last) in [("1", false), ("2", true)] {
        let attempt = conversation.attempt(&origin, now);
        conversation.observe(&attempt, NonceRequired, &headers(Some(nonce), DATE_NOW), now);
        assert_eq!(conversation.is_last_nonce(), is_last);
    }
}
