//! Requests are shared, tokens are refreshed, and outages are bridged. On paused time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{advance, timeout};
use zastava_authority::{Authority, DpopKey, Error, TokenSource as _, Tokens};
use zastava_core::clock::{Clock, ManualClock, Timestamp};
use zastava_core::telemetry::{TOKEN_EXPIRY, TOKEN_REQUESTS, Telemetry};

use super::support::{
    PausedTime, Server, ask_together, authority_with_key, challenging, options, refusal, seconds, status,
    token, tokens, with_header,
};

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_request() {
    let server = Server::issuing(120);
    let started = PausedTime::start();
    let answers = ask_together(&tokens(&server, &[]), 10_000).await;
    let generations: HashSet<_> = answers.into_iter().map(|answer| answer.unwrap().generation()).collect();
    println!("10000 cold callers: {} request in {:?}", server.count(), started.passed());
    assert_eq!((generations.len(), server.count()), (1, 1));
    assert_eq!(started.passed(), Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_failure() {
    let server = Server::new(|_| refusal(503, "temporarily_unavailable"));
    let started = PausedTime::start();
    for answer in ask_together(&tokens(&server, &[]), 10_000).await {
        let error = answer.unwrap_err();
        assert_eq!(error.oauth_code(), Some("temporarily_unavailable"));
        assert!(error.retry_after().is_some() && !error.is_configuration());
    }
    println!(
        "10000 cold callers of a failing endpoint: {} request in {:?}",
        server.count(),
        started.passed()
    );
    assert_eq!((server.count(), started.passed()), (1, Duration::from_millis(50)));
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_the_caller_who_caused_it() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    assert!(timeout(Duration::from_millis(10), tokens.token("scanner")).await.is_err());
    let asked = PausedTime::start();
    tokens.token("scanner").await.unwrap();
    assert_eq!((server.count(), asked.passed()), (1, Duration::from_millis(40)));
}

#[tokio::test(start_paused = true)]
async fn a_request_continues_after_its_first_caller_gives_up() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    assert!(timeout(Duration::from_millis(10), tokens.token("scanner")).await.is_err());
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "token-1");
    assert_eq!(server.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_refreshed_before_they_end_and_nobody_waits() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap();
    for _ in 0..600 {
        advance(seconds(1)).await;
        let asked = PausedTime::start();
        tokens.token("scanner").await.unwrap();
        assert_eq!(asked.passed(), Duration::ZERO);
    }
    // A token of 120 s is refreshed after 60 to 96 s.
    assert!((7..=11).contains(&server.count()), "{}", server.count());
}

#[tokio::test(start_paused = true)]
async fn the_token_serves_through_an_outage_until_it_expires() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let requested = PausedTime::start();
    let first = tokens.token("scanner").await.unwrap();
    server.handle(|_| status(503));

    let mut refused_at = None;
    while requested.passed() < seconds(300) {
        advance(seconds(1)).await;
        let asked = PausedTime::start();
        match tokens.token("scanner").await {
            Ok(token) => assert_eq!((token.generation(), refused_at), (first.generation(), None)),
            Err(error) => {
                assert!(error.retry_after().unwrap() <= seconds(15));
                refused_at.get_or_insert_with(|| requested.passed());
            }
        }
        assert_eq!(asked.passed(), Duration::ZERO, "an outage costs callers no time");
    }
    let refused_at = refused_at.unwrap();
    assert!((seconds(115)..seconds(116)).contains(&refused_at), "{refused_at:?}");
    println!("300 s of outage: {} attempts, token served for {refused_at:?}", server.count() - 1);
    assert!(server.count() - 1 <= 40, "{}", server.count());

    let restored = PausedTime::start();
    server.handle(|_| token("again", 120));
    server.wait_for(server.count() + 1).await;
    println!("recovered after {:?}", restored.passed());
    assert!(restored.passed() <= seconds(15), "{:?}", restored.passed());
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "again");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_wait_is_obeyed() {
    let server = Server::new(|_| with_header(status(429), "retry-after", "40"));
    let tokens = tokens(&server, &[]);
    let asked = PausedTime::start();
    let error = tokens.token("scanner").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(seconds(40)));
    server.handle(|_| token("abc", 120));
    server.wait_for(2).await;
    assert!(asked.passed() >= seconds(40));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_costs_its_time_once() {
    let server = Server::issuing(120).with_latency(seconds(3600));
    let tokens = tokens(&server, &[("requestTimeoutSeconds", "5")]);
    let asked = PausedTime::start();
    for answer in ask_together(&tokens, 100).await {
        assert!(answer.unwrap_err().to_string().contains("no valid token"));
    }
    assert_eq!(asked.passed(), seconds(5));
    tokens.token("scanner").await.unwrap_err();
    assert_eq!(asked.passed(), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_on_its_way_is_a_failure_with_a_pause() {
    let server = Server::issuing(2).with_latency(seconds(3));
    let tokens = tokens(&server, &[]);
    let error = timeout(seconds(10), tokens.token("scanner")).await.expect("is told").unwrap_err();
    assert!(error.to_string().contains("no valid token"), "{error}");
    advance(seconds(60)).await;
    assert!(server.count() <= 10, "{} requests in a minute", server.count());
}

/// After a suspend the wall clock has gone on and the timers have not.
#[tokio::test(start_paused = true)]
async fn a_token_that_ended_during_a_suspend_is_replaced_at_once() {
    let server = Server::issuing(120);
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let (key, telemetry) = (Arc::new(DpopKey::generate()), Telemetry::detached());
    let wall: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let authority = Authority::with_clock(&options(&[]), server.service(), key, &telemetry, wall);
    authority.token("scanner").await.unwrap();
    clock.advance(seconds(3600));
    let asked = PausedTime::start();
    assert_eq!(authority.token("scanner").await.unwrap().expose(), "token-2");
    assert_eq!(asked.passed(), Duration::from_millis(50));
}

#[test]
fn tokens_are_issued_again_after_the_async_runtime_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let server = Server::issuing(120);
    let former = runtime().unwrap();
    let tokens = former.block_on(async {
        let tokens = tokens(&server, &[]);
        tokens.token("scanner").await.unwrap();
        tokens
    });
    drop(former);
    tokens.invalidate("scanner");
    runtime().unwrap().block_on(async {
        assert_eq!(tokens.token("scanner").await.unwrap().expose(), "token-2");
    });
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_the_last_handle() {
    let server = Server::issuing(120);
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &[], Arc::clone(&key), &Telemetry::detached()));
    tokens.token("scanner").await.unwrap();
    drop(tokens);
    tokio::time::sleep(seconds(600)).await;
    assert_eq!((server.count(), Arc::strong_count(&key)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn audiences_are_independent_and_bounded() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("audience-0").await.unwrap();
    for number in 1..64 {
        let token = tokens.token(&format!("audience-{number}")).await.unwrap();
        assert_ne!(token.expose(), first.expose());
    }
    assert!(matches!(tokens.token("one more").await, Err(Error::TooManyAudiences { max: 64 })));
}

#[tokio::test(start_paused = true)]
async fn metrics_and_status_tell_the_state() {
    let telemetry = Telemetry::detached();
    let server = challenging();
    let authority = authority_with_key(&server, &[], Arc::new(DpopKey::generate()), &telemetry);
    let token = authority.token("scanner").await.unwrap();
    let requests = telemetry.counter(TOKEN_REQUESTS);
    assert_eq!((requests.get(&["scanner", "nonce"]), requests.get(&["scanner", "issued"])), (1, 1));
    let expiry = telemetry.gauge(TOKEN_EXPIRY).get(&["scanner"]);
    assert_eq!(expiry, token.expires_at().unix_seconds() as f64);
    let status = authority.status();
    assert_eq!(status[0]["state"], "valid");
    assert_eq!(status[0]["tokenType"], "DPoP");

    server.handle(|_| refusal(401, "invalid_client"));
    authority.invalidate("scanner");
    authority.token("scanner").await.unwrap_err();
    let status = authority.status();
    assert_eq!(status[0]["state"], "unavailable");
    assert_eq!(
        status[0]["lastError"],
        "authority answered 401 Unauthorized invalid_client at https://authority.test/token for client \"zastava-runtime\": the server's own words"
    );
    assert_eq!(requests.get(&["scanner", "refused"]), 1);
}
