//! The source of tokens, against a scripted endpoint on paused time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, timeout};
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{ReceivedProof, TokenKey, Verifier, VerifierOptions};
use zastava_authority::{Authority, AuthorizeLayer, DpopKey, Error, OpTok, TokenSource as _, Tokens};
use zastava_core::clock::{Clock, ManualClock, Timestamp};
use zastava_core::http_service::HttpService;
use zastava_core::telemetry::{TOKEN_EXPIRY, TOKEN_FALLBACK, TOKEN_REQUESTS, Telemetry};

use crate::support::{
    Server, TokioClock, authority, authority_with_key, claim, http_date, json, options, received, refusal,
    status, token, tokens, with_header,
};

/// What `count` callers get who ask at the same time.
async fn ask_together(tokens: &Tokens, count: usize) -> Vec<Result<Arc<OpTok>, Error>> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let tokens = tokens.clone();
        callers.spawn(async move { tokens.token("scanner").await });
    }
    callers.join_all().await
}

fn form_of(request: &Request<Bytes>) -> String {
    String::from_utf8(request.body().to_vec()).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_request() {
    let server = Server::issuing(120);
    let started = Instant::now();
    let answers = ask_together(&tokens(&server, &[]), 10_000).await;
    let generations: HashSet<_> = answers.into_iter().map(|answer| answer.unwrap().generation()).collect();
    println!("10000 cold callers: {} request in {:?}", server.count(), started.elapsed());
    assert_eq!((generations.len(), server.count()), (1, 1));
    assert_eq!(started.elapsed(), Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_share_one_failure() {
    let server = Server::new(|_| refusal(503, "temporarily_unavailable"));
    let started = Instant::now();
    for answer in ask_together(&tokens(&server, &[]), 10_000).await {
        let error = answer.unwrap_err();
        assert_eq!(error.oauth_code(), Some("temporarily_unavailable"));
        assert!(error.retry_after().is_some() && !error.is_configuration());
    }
    println!(
        "10000 cold callers of a failing endpoint: {} request in {:?}",
        server.count(),
        started.elapsed()
    );
    assert_eq!((server.count(), started.elapsed()), (1, Duration::from_millis(50)));
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_the_caller_who_caused_it() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    assert!(timeout(Duration::from_millis(10), tokens.token("scanner")).await.is_err());
    let asked = Instant::now();
    tokens.token("scanner").await.unwrap();
    assert_eq!((server.count(), asked.elapsed()), (1, Duration::from_millis(40)));
}

/// Checks each proof as the standard says, and challenges those without a nonce.
fn challenging() -> Server {
    let verifier = Verifier::new(VerifierOptions::default());
    let clock = TokioClock::new();
    Server::new(move |request| {
        let answer = match verifier.verify(&received(request), clock.now()) {
            Ok(_) => token("abc", 120),
            Err(error) => refusal(400, error.oauth_code()),
        };
        with_header(answer, "dpop-nonce", &verifier.nonce(clock.now()))
    })
}

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
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let (verifier, clock) = (Verifier::new(options), TokioClock::new());
    let server = Server::new(move |request| {
        let answer = match verifier.verify(&received(request), clock.now()) {
            Ok(_) => token("abc", 120),
            Err(error) => refusal(400, error.oauth_code()),
        };
        with_header(answer, "date", &http_date(clock.now().saturating_add(seconds(300))))
    });
    let tokens = tokens(&server, &[]);
    for expected in [1, 3, 4, 5] {
        tokens.token("scanner").await.unwrap();
        assert_eq!(server.count(), expected);
        tokens.invalidate("scanner");
    }
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

#[tokio::test(start_paused = true)]
async fn the_request_goes_on_without_whoever_asked_first() {
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
        let asked = Instant::now();
        tokens.token("scanner").await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
    // A token of 120 s is refreshed after 60 to 96 s.
    assert!((7..=11).contains(&server.count()), "{}", server.count());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_until_the_token_ends_and_no_longer() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("scanner").await.unwrap();
    server.handle(|_| status(503));
    let issued = Instant::now() - Duration::from_millis(50);

    let mut refused_at = None;
    while issued.elapsed() < seconds(300) {
        advance(seconds(1)).await;
        let asked = Instant::now();
        match tokens.token("scanner").await {
            Ok(token) => assert_eq!((token.generation(), refused_at), (first.generation(), None)),
            Err(error) => {
                assert!(error.retry_after().unwrap() <= seconds(15));
                refused_at.get_or_insert_with(|| issued.elapsed());
            }
        }
        assert_eq!(asked.elapsed(), Duration::ZERO, "an outage costs callers no time");
    }
    let refused_at = refused_at.unwrap();
    assert!((seconds(115)..seconds(116)).contains(&refused_at), "{refused_at:?}");
    println!("300 s of outage: {} attempts, token served for {refused_at:?}", server.count() - 1);
    assert!(server.count() - 1 <= 40, "{}", server.count());

    let restored = Instant::now();
    server.handle(|_| token("again", 120));
    server.wait_for(server.count() + 1).await;
    println!("recovered after {:?}", restored.elapsed());
    assert!(restored.elapsed() <= seconds(15), "{:?}", restored.elapsed());
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "again");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_wait_is_obeyed() {
    let server = Server::new(|_| with_header(status(429), "retry-after", "40"));
    let tokens = tokens(&server, &[]);
    let asked = Instant::now();
    let error = tokens.token("scanner").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(seconds(40)));
    server.handle(|_| token("abc", 120));
    server.wait_for(2).await;
    assert!(asked.elapsed() >= seconds(40));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_costs_its_time_once() {
    let server = Server::issuing(120).with_latency(seconds(3600));
    let tokens = tokens(&server, &[("requestTimeoutSeconds", "5")]);
    let asked = Instant::now();
    for answer in ask_together(&tokens, 100).await {
        assert!(answer.unwrap_err().to_string().contains("no valid token"));
    }
    assert_eq!(asked.elapsed(), seconds(5));
    tokens.token("scanner").await.unwrap_err();
    assert_eq!(asked.elapsed(), seconds(5));
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

#[tokio::test(start_paused = true)]
async fn a_late_rejection_of_a_replaced_token_does_nothing() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("scanner").await.unwrap();
    tokens.reject(&first);
    let second = tokens.token("scanner").await.unwrap();
    assert!(second.generation() > first.generation());
    for _ in 0..1000 {
        tokens.reject(&first);
        assert_eq!(tokens.token("scanner").await.unwrap().generation(), second.generation());
    }
    println!("1000 late refusals of a replaced token: {} requests", server.count() - 2);
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_of_one_token_cost_one_request() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("scanner").await.unwrap();
    (0..1000).for_each(|_| tokens.reject(&first));
    ask_together(&tokens, 1000).await.into_iter().for_each(|answer| assert!(answer.is_ok()));
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_resource_server_that_refuses_everything_does_not_drive_requests() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let started = Instant::now();
    while started.elapsed() < seconds(60) {
        if let Ok(token) = tokens.token("scanner").await {
            tokens.reject(&token);
        }
        advance(Duration::from_millis(100)).await;
    }
    assert!(server.count() <= 20, "{}", server.count());
}

#[tokio::test(start_paused = true)]
async fn a_token_on_its_way_when_invalidated_does_not_count() {
    let server = Server::issuing(120);
    let authority = authority(&server, &[]);
    authority.start("scanner").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(authority.invalidate("scanner"), 0);
    assert_eq!(authority.token("scanner").await.unwrap().expose(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_bearer_token_is_refused_where_dpop_is_required() {
    for kind in [r#","token_type":"Bearer""#, r#","token_type":"""#, ""] {
        let body = format!(r#"{{"access_token":"abc","expires_in":120{kind}}}"#);
        let server = Server::new(move |_| json(200, body.clone()));
        let error = tokens(&server, &[]).token("scanner").await.unwrap_err();
        let Error::Unavailable { last, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**last, Error::TokenType { expected: "DPoP", .. }), "{last:?}");
        assert!(error.is_configuration());
    }
}

#[tokio::test(start_paused = true)]
async fn without_dpop_no_proof_is_sent_and_bearer_is_taken() {
    let server =
        Server::new(|_| json(200, r#"{"access_token":"abc","token_type":"bearer","expires_in":"60"}"#));
    let token = tokens(&server, &[("requireDpop", "false")]).token("scanner").await.unwrap();
    assert!(!token.is_dpop() && token.thumbprint().is_none());
    assert!(!server.requests()[0].headers().contains_key("dpop"));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_none_are_refused() {
    let rows = [
        "",
        "<html>",
        "{}",
        r#"{"access_token":"","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"a b","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"a\r\nb","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":0}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":-1}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":"soon"}"#,
        r#"{"access_token":["abc"],"token_type":"DPoP","expires_in":120}"#,
    ];
    for body in rows {
        let server = Server::new(move |_| json(200, body));
        let error = tokens(&server, &[]).token("scanner").await.unwrap_err();
        let Error::Unavailable { last, .. } = error else { panic!("{error:?}") };
        assert!(matches!(*last, Error::Malformed { .. }), "{body}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lives_are_counted_from_the_start_of_the_request() {
    let start = Timestamp::from_unix_seconds(1_800_000_000);
    let rows = [
        (r#","expires_in":300"#, 300),
        ("", 120),
        (r#","expires_in":null"#, 120),
        (r#","expires_in":999999999999"#, 24 * 3600),
    ];
    for (life, expected) in rows {
        let body = format!(r#"{{"access_token":"abc","token_type":"DPoP"{life}}}"#);
        let server = Server::new(move |_| json(200, body.clone())).with_latency(seconds(3));
        let token = tokens(&server, &[]).token("scanner").await.unwrap();
        assert_eq!(token.expires_at(), start.saturating_add(seconds(expected)), "{life}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_request_says_who_asks_for_what() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "p:s w\n").unwrap();
    let server = Server::issuing(120);
    let settings = [("clientSecretPath", secret.to_str().unwrap()), ("clientId", "zastava runtime")];
    let tokens = tokens(&server, &settings);
    tokens.token("scanner").await.unwrap();
    tokens.token("https://api.test/x").await.unwrap();

    let [first, second] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(first.uri(), "https://authority.test/token");
    assert_eq!(
        form_of(&first),
        "grant_type=client_credentials&client_id=zastava+runtime&audience=scanner\
         &scope=aud%3Ascanner+api%3Ascanner.runtime.write"
    );
    assert!(form_of(&second).ends_with("&resource=https%3A%2F%2Fapi.test%2Fx"));
    let expected = HeaderMap::from_iter([
        ("content-type".parse().unwrap(), "application/x-www-form-urlencoded".parse().unwrap()),
        ("accept".parse().unwrap(), "application/json".parse().unwrap()),
        // zastava+runtime:p%3As+w
        ("authorization".parse().unwrap(), "Basic emFzdGF2YStydW50aW1lOnAlM0FzK3c=".parse().unwrap()),
        ("dpop".parse().unwrap(), first.headers()["dpop"].clone()),
    ]);
    assert_eq!(first.headers(), &expected);
    assert!(first.headers()["authorization"].is_sensitive() && first.headers()["dpop"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn metadata_names_the_endpoint() {
    let document = r#"{"issuer":"https://authority.test","token_endpoint":"https://elsewhere.test/t"}"#;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let server = Server::issuing(120).with_metadata(path, json(200, document));
        tokens(&server, &[]).token("scanner").await.unwrap();
        assert_eq!(server.requests()[0].uri(), "https://elsewhere.test/t", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_moved_is_found_again() {
    let path = "/.well-known/openid-configuration";
    let document =
        |url| json(200, format!(r#"{{"issuer":"https://authority.test","token_endpoint":"{url}"}}"#));
    let mut issued = false;
    let server = Server::new(move |request| match request.uri().path() {
        "/old" if std::mem::replace(&mut issued, true) => status(404),
        path => token(path, 120),
    });
    server.publish(path, document("https://authority.test/old"));
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap();
    server.publish(path, document("https://authority.test/new"));
    // The failure sends it back to the document, long before that would be read again.
    tokio::time::sleep(seconds(110)).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "/new");
    let asked: Vec<_> = server.requests().iter().map(|request| request.uri().path().to_owned()).collect();
    assert_eq!(asked, ["/old", "/old", "/new"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_for_people_is_no_metadata() {
    let page = with_header(json(200, "<!doctype html>"), "content-type", "text/html; charset=utf-8");
    let server = Server::issuing(120).with_metadata("/.well-known/openid-configuration", page.clone());
    tokens(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.requests()[0].uri(), "https://authority.test/token");
    let document = r#"{"issuer":"https://authority.test","token_endpoint":"https://elsewhere.test/t"}"#;
    server.publish("/.well-known/oauth-authorization-server", json(200, document));
    tokens(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.requests()[1].uri(), "https://elsewhere.test/t");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_trusted_sends_nothing() {
    let rows = [
        json(200, r#"{"issuer":"https://evil.test","token_endpoint":"https://evil.test/t"}"#),
        json(200, r#"{"issuer":"https://authority.test","token_endpoint":"http://authority.test/t"}"#),
        json(200, r#"{"issuer":"https://authority.test","token_endpoint":"/t"}"#),
        json(200, "{}"),
        status(500),
        status(429),
    ];
    for answer in rows {
        let server = Server::issuing(120).with_metadata("/.well-known/openid-configuration", answer);
        tokens(&server, &[]).token("scanner").await.unwrap_err();
        assert_eq!(server.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_static_token_serves_until_authority_first_answers() {
    let telemetry = Telemetry::detached();
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let server = Server::new(|_| status(503));
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &settings, key, &telemetry));

    let fallback = tokens.token("scanner").await.unwrap();
    assert!(fallback.is_static() && !fallback.is_dpop());
    assert_eq!(fallback.expose(), "static-token");
    assert!(tokens.token("another").await.is_err(), "it is for one audience");
    assert_eq!(telemetry.counter(TOKEN_FALLBACK).get(&["scanner"]), 1);

    server.handle(|_| token("real", 120));
    server.wait_for(server.count() + 2).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "real");
    server.handle(|_| status(503));
    tokio::time::sleep(seconds(150)).await;
    assert!(tokens.token("scanner").await.is_err(), "never again after a success");
}

#[tokio::test(start_paused = true)]
async fn a_static_token_that_is_too_old_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("static");
    std::fs::write(&path, "static-token\n").unwrap();
    // The test's clock starts years after the file was written.
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenPath", path.to_str().unwrap())];
    let server = Server::new(|_| status(503));
    let tokens = tokens(&server, &settings);
    assert!(tokens.token("scanner").await.is_err());
    let recent = std::time::SystemTime::UNIX_EPOCH + seconds(1_800_000_000);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(recent).unwrap();
    advance(seconds(2)).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "static-token");
}

/// A file from the future is as old as the time since it was first seen.
#[tokio::test(start_paused = true)]
async fn a_static_token_ages_whatever_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("static");
    std::fs::write(&path, "static-token\n").unwrap();
    let future = std::time::SystemTime::UNIX_EPOCH + seconds(1_900_000_000);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(future).unwrap();
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenPath", path.to_str().unwrap())];
    let server = Server::new(|_| status(503));
    let age_max = options(&settings).static_token.unwrap().age_max;
    let tokens = tokens(&server, &settings);
    let latest = Timestamp::from_unix_seconds(1_800_000_010).saturating_add(age_max);
    assert!(tokens.token("scanner").await.unwrap().expires_at() < latest);
    advance(age_max - seconds(10)).await;
    tokens.token("scanner").await.unwrap();
    advance(seconds(20)).await;
    tokens.token("scanner").await.unwrap_err();
}

#[test]
fn tokens_are_had_again_when_a_former_runtime_took_the_task_with_it() {
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

#[test]
fn no_static_token_serves_after_a_success_in_a_former_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let server = Server::issuing(120);
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let former = runtime().unwrap();
    let tokens = former.block_on(async {
        let tokens = tokens(&server, &settings);
        tokens.token("scanner").await.unwrap();
        tokens
    });
    drop(former);
    tokens.invalidate("scanner");
    server.handle(|_| status(503));
    runtime().unwrap().block_on(async { tokens.token("scanner").await.unwrap_err() });
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
    let asked = Instant::now();
    assert_eq!(authority.token("scanner").await.unwrap().expose(), "token-2");
    assert_eq!(asked.elapsed(), Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn audiences_are_apart_and_bounded() {
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
    assert_eq!(status[0]["lastError"], "authority answered 401 Unauthorized invalid_client");
    assert_eq!(requests.get(&["scanner", "refused"]), 1);
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

#[tokio::test(start_paused = true)]
async fn an_assertion_names_client_and_issuer_and_is_new_for_each_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("assertion.jwk");
    std::fs::write(&path, crate::key::JWK).unwrap();
    let mut number = 0;
    let server = Server::new(move |_| {
        number += 1;
        match number {
            1 => with_header(refusal(400, "use_dpop_nonce"), "dpop-nonce", "n"),
            _ => token("abc", 120),
        }
    });
    let tokens = tokens(&server, &[("clientAssertionKeyPath", path.to_str().unwrap())]);
    tokens.token("scanner").await.unwrap();
    let mut identifiers = HashSet::new();
    for request in server.requests() {
        assert!(!request.headers().contains_key("authorization"));
        let form = form_of(&request);
        let expected =
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert!(form.contains(expected), "{form}");
        let assertion = form.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
        let parts: Vec<serde_json::Value> = assertion
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts[0],
            serde_json::json!({"alg": "ES256", "typ": "client-authentication+jwt", "kid": "1"})
        );
        let claims = &parts[1];
        assert_eq!((&claims["iss"], &claims["sub"]), (&"zastava-runtime".into(), &"zastava-runtime".into()));
        assert_eq!(claims["aud"], "https://authority.test");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        identifiers.insert(claims["jti"].to_string());
    }
    assert_eq!(identifiers.len(), 2);
}

/// An API that believes the newest nonce only, and tokens only with the key that they were issued
/// for.
#[tokio::test]
async fn a_hundred_new_keys_under_load_lose_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let write = || {
        let draft = dir.path().join("draft");
        std::fs::write(&draft, DpopKey::generate_pem().expose()).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    };
    write();
    let verifier =
        Arc::new(Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() }));
    let issuer = Arc::new(TokenKey::generate());
    let (proofs, signer) = (Arc::clone(&verifier), Arc::clone(&issuer));
    let server = Server::new(move |request| {
        let bearer =
            request.headers().get("authorization").map(|value| value.to_str().unwrap()[5..].to_owned());
        let bound = bearer
            .as_deref()
            .map(|token| signer.verify(token).unwrap()["cnf"]["jkt"].as_str().unwrap().to_owned());
        let received = ReceivedProof {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            access_token: bearer.as_deref(),
            thumbprint: bound.as_deref(),
        };
        match (proofs.verify(&received, Timestamp::now()), bearer) {
            (Ok(proof), None) => {
                let claims = serde_json::json!({"cnf": {"jkt": proof.thumbprint}});
                token(&signer.sign(claims.as_object().unwrap()), 120)
            }
            (Ok(_), Some(_)) => status(200),
            (Err(error), _) => refusal(401, error.oauth_code()),
        }
    })
    .with_latency(Duration::from_millis(1));

    let cache = dir.path().join("cache");
    let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let key = Arc::new(DpopKey::from_file(&path).unwrap());
    let options = options(&settings);
    let authority = Authority::new(&options, server.service(), key, &Telemetry::detached());
    let layer =
        AuthorizeLayer::new(Tokens::new(authority.clone()), "scanner", &"https://api.test".parse().unwrap());
    let api = HttpService::new(layer.layer(server.service()));
    let done = watch::Sender::new(false);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (api, done) = (api.clone(), done.subscribe());
        callers.spawn(async move {
            let (mut sent, mut failed) = (0, 0);
            while !*done.borrow() {
                let request = Request::get("https://api.test/").body(Bytes::new()).unwrap();
                failed += u32::from(api.clone().oneshot(request).await.unwrap().status() != 200);
                sent += 1;
            }
            (sent, failed)
        });
    }
    let tokens = Tokens::new(authority.clone());
    for number in 0..100 {
        if number % 10 == 0 {
            // Half of a key changes nothing.
            std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nMIG").unwrap();
            assert!(!authority.reload());
        }
        write();
        assert!(authority.reload());
        let thumbprint = authority.dpop_key().thumbprint().to_owned();
        while tokens.token("scanner").await.unwrap().thumbprint() != Some(&thumbprint) {
            tokio::task::yield_now().await;
        }
    }
    done.send_replace(true);
    let (sent, failed) =
        callers.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("100 new keys, {sent} requests, {failed} failed");
    assert!(sent > 100 && failed == 0, "{failed} of {sent}");
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_changes_is_seen_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let version = dir.path().join(name);
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("key"), DpopKey::generate_pem().expose()).unwrap();
        // As Kubernetes does it: a link that is replaced, below a link that stays.
        std::os::unix::fs::symlink(name, dir.path().join("..tmp")).unwrap();
        std::fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
    };
    write("..1");
    let path = dir.path().join("key");
    std::os::unix::fs::symlink("..data/key", &path).unwrap();
    let cache = dir.path().join("cache");
    let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let server = Server::issuing(120);
    let key = Arc::new(DpopKey::from_file(&path).unwrap());
    let authority = authority_with_key(&server, &settings, key, &Telemetry::detached());
    let first = authority.token("scanner").await.unwrap();
    write("..2");
    let changed = Instant::now();
    server.wait_for(2).await;
    tokio::task::yield_now().await;
    assert!(changed.elapsed() <= seconds(2), "{:?}", changed.elapsed());
    let second = authority.token("scanner").await.unwrap();
    assert_eq!(second.thumbprint(), Some(authority.dpop_key().thumbprint()));
    assert_ne!(first.thumbprint(), second.thumbprint());
}
