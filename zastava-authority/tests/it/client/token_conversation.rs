//! Nonces, clocks and retries at the token endpoint. On paused time.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::advance;
use zastava_authority::verify::{Verifier, VerifierOptions};
use zastava_authority::{Authority, DpopKey, TokenSource as _};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::telemetry::Telemetry;

use super::support::{
    Server, TokioClock, ask_together, challenging, claim, http_date, json, options, received, refusal,
    seconds, status, token, tokens, with_header,
};

#[tokio::test(start_paused = true)]
async fn a_demanded_nonce_costs_one_request_more_and_only_the_first_time() {
    let server = challenging();
    let tokens = tokens(&server, &[]);
    for answer in ask_together(&tokens, 10_000).await {
        assert!(answer.unwrap().is_dpop());
    }
    println!("10000 cold callers where a nonce is demanded: {} requests", server.count());
    assert_eq!(server.count(), 2);
    assert_eq!(tokens.invalidate("scanner"), 1);
    tokens.token("scanner").await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_comes_with_a_token_is_sent_with_the_next_request() {
    let server = Server::new(|_| with_header(token("abc", 120), "dpop-nonce", "of-a-success"));
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap();
    tokens.invalidate("scanner");
    tokens.token("scanner").await.unwrap();
    let nonces: Vec<_> = server.requests().iter().map(|request| claim(request, "nonce")).collect();
    assert_eq!(nonces, [serde_json::Value::Null, "of-a-success".into()]);
}

/// Some gateway stamps answers by a clock that is five minutes ahead of the one that checks proofs.
#[tokio::test(start_paused = true)]
async fn a_wrong_date_costs_one_request_and_breaks_nothing() {
    // RFC 9449 section 5 names the first. Keycloak answers the second, oidc-provider the third.
    for code in ["invalid_dpop_proof", "invalid_request", "invalid_grant", "unheard_of"] {
        let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
        let (verifier, clock) = (Verifier::new(options), TokioClock::new());
        let server = Server::new(move |request| {
            let answer = match verifier.verify(&received(request), clock.now()) {
                Ok(_) => token("abc", 120),
                Err(_) => refusal(400, code),
            };
            with_header(answer, "date", &http_date(clock.now().saturating_add(seconds(300))))
        });
        let tokens = tokens(&server, &[]);
        for expected in [1, 3, 4, 5] {
            tokens.token("scanner").await.unwrap();
            assert_eq!(server.count(), expected, "{code}");
            tokens.invalidate("scanner");
        }
    }
}

/// A metadata document with a wrong `Date` moves the very first proof, which is then refused.
#[tokio::test(start_paused = true)]
async fn a_wrong_date_of_the_metadata_costs_one_request_too() {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let (verifier, clock) = (Verifier::new(options), TokioClock::new());
    let ahead = http_date(clock.now().saturating_add(seconds(300)));
    let document =
        json(200, r#"{"issuer":"https://authority.test","token_endpoint":"https://authority.test/t"}"#);
    let server = Server::new(move |request| match verifier.verify(&received(request), clock.now()) {
        Ok(_) => token("abc", 120),
        Err(_) => refusal(400, "invalid_request"),
    });
    server.publish("/.well-known/openid-configuration", with_header(document, "date", &ahead));
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap();
    assert_eq!(server.count(), 2);
    tokens.invalidate("scanner");
    tokens.token("scanner").await.unwrap();
    assert_eq!(server.count(), 3, "the clock whose proof was accepted is kept");
}

/// Without `Date` there is no other time to try, so a refusal is final.
#[tokio::test(start_paused = true)]
async fn a_server_that_tells_no_time_is_asked_once() {
    let server = Server::new(|_| refusal(400, "invalid_request"));
    tokens(&server, &[]).token("scanner").await.unwrap_err();
    assert_eq!(server.count(), 1);
}

/// A client that is refused for another reason costs no more requests when the clocks differ.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_excuses_a_refused_client_once() {
    let clock = TokioClock::new();
    let server = Server::new(move |_| {
        with_header(
            refusal(401, "invalid_client"),
            "date",
            &http_date(clock.now().saturating_add(seconds(100))),
        )
    });
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap_err();
    assert_eq!(server.count(), 2);
    server.wait_for(4).await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(server.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn endless_challenges_end_after_three_attempts() {
    let mut number = 0;
    let server = Server::new(move |_| {
        number += 1;
        with_header(refusal(400, "use_dpop_nonce"), "dpop-nonce", &format!("nonce-{number}"))
    });
    let error = tokens(&server, &[]).token("scanner").await.unwrap_err();
    assert_eq!((error.oauth_code(), server.count()), (Some("use_dpop_nonce"), 3));
}

#[tokio::test(start_paused = true)]
async fn the_same_nonce_again_is_not_answered() {
    let server = Server::new(|_| with_header(refusal(400, "use_dpop_nonce"), "dpop-nonce", "same"));
    tokens(&server, &[]).token("scanner").await.unwrap_err();
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_proof_of_its_own() {
    let mut number = 0;
    let server = Server::new(move |_| {
        number += 1;
        match number % 3 {
            0 => token("abc", 120),
            1 => status(503),
            _ => with_header(refusal(400, "use_dpop_nonce"), "dpop-nonce", &number.to_string()),
        }
    });
    let tokens = tokens(&server, &[]);
    let _ = tokens.token("scanner").await;
    advance(seconds(600)).await;
    server.wait_for(20).await;
    let proofs: HashSet<_> =
        server.requests().iter().map(|request| request.headers()["dpop"].as_bytes().to_vec()).collect();
    assert_eq!(proofs.len(), server.count());
}

/// A server that checks proofs to within a minute, and tells its time.
fn punctual(clock: Arc<dyn Clock>) -> Server {
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    Server::new(move |request| {
        let now = clock.now();
        let answer = match verifier.verify(&received(request), now) {
            Ok(_) => token("abc", 120),
            Err(error) => refusal(400, error.oauth_code()),
        };
        with_header(answer, "date", &http_date(now))
    })
}

/// tokio's clock, set wrong.
#[derive(Debug)]
struct Wrong(Arc<TokioClock>, i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.now().unix_seconds() + self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_four_minutes_off_costs_one_request() {
    for off in [-240, 240] {
        let right = TokioClock::new();
        let server = punctual(Arc::<TokioClock>::clone(&right));
        let clock = Arc::new(Wrong(right, off));
        let key = Arc::new(DpopKey::generate());
        let authority =
            Authority::with_clock(&options(&[]), server.service(), key, &Telemetry::detached(), clock);
        authority.token("scanner").await.unwrap();
        authority.invalidate("scanner");
        authority.token("scanner").await.unwrap();
        assert_eq!(server.count(), 3, "{off}");
    }
}
