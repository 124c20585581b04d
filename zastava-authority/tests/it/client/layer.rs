//! The layer, between a scripted API and a source that counts.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{AuthorizeLayer, DpopKey, Error, Tokens};
use zastava_core::clock::Timestamp;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::no_token::NoToken;
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::support::{
    Answer, Server, authority_with_key, claim, http_date, received, status, tokens, with_header,
};

const URL: &str = "https://api.test/v1/events?x=1";

/// An API behind the layer, and the endpoint that issues its tokens.
struct Bench {
    api: Server,
    authority: Server,
    key: Arc<DpopKey>,
    http: HttpService,
}

impl Bench {
    fn new(api: Server) -> Self {
        let authority = Server::issuing(120);
        let key = Arc::new(DpopKey::generate());
        let tokens =
            Tokens::new(authority_with_key(&authority, &[], Arc::clone(&key), &Telemetry::detached()));
        let layer = AuthorizeLayer::new(tokens, "scanner", &Uri::from_static("https://API.test:443/ignored"));
        let http = HttpService::new(layer.layer(api.service()));
        Self { api, authority, key, http }
    }

    async fn call(&self, url: &str) -> Result<Answer, BoxError> {
        let request = Request::post(url).body(Bytes::from_static(b"body")).unwrap();
        self.http.clone().oneshot(request).await
    }

    async fn status(&self) -> u16 {
        self.call(URL).await.unwrap().status().as_u16()
    }
}

fn challenge(error: &str) -> Answer {
    with_header(status(401), "www-authenticate", &format!(r#"DPoP error="{error}", algs="ES256""#))
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_out_with_token_and_proof() {
    let bench = Bench::new(Server::new(|_| status(202)));
    assert_eq!(bench.status().await, 202);
    let request = &bench.api.requests()[0];
    assert_eq!(request.headers()["authorization"], "DPoP token-1");
    assert!(request.headers()["authorization"].is_sensitive() && request.headers()["dpop"].is_sensitive());
    assert_eq!(request.body(), "body");
    let received = ReceivedProof {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        access_token: Some("token-1"),
        thumbprint: Some(bench.key.thumbprint()),
    };
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    verifier.verify(&received, Timestamp::now()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn nonces_are_learned_from_successes_and_from_retries() {
    let mut number = 0;
    let bench = Bench::new(Server::new(move |request| {
        number += 1;
        let expected = (number - 1).to_string();
        let known = claim(request, "nonce") == expected;
        let answer = if known { status(200) } else { challenge("use_dpop_nonce") };
        with_header(answer, "dpop-nonce", &number.to_string())
    }));
    // One challenge at the start; from then on each answer brings the nonce of the next request.
    for _ in 0..10 {
        assert_eq!(bench.status().await, 200);
    }
    assert_eq!((bench.api.count(), bench.authority.count()), (11, 1));
}

#[tokio::test(start_paused = true)]
async fn a_challenge_may_be_a_400_too() {
    let bench = Bench::new(Server::new(|request| {
        let known = claim(request, "nonce") == "n";
        let answer = if known { status(200) } else { challenge("use_dpop_nonce") };
        let mut answer = with_header(answer, "dpop-nonce", "n");
        if !known {
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
        }
        answer
    }));
    assert_eq!((bench.status().await, bench.api.count()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_a_new_identifier() {
    let mut number = 0;
    let bench = Bench::new(Server::new(move |_| {
        number += 1;
        match number {
            1 | 3 => with_header(challenge("use_dpop_nonce"), "dpop-nonce", &number.to_string()),
            2 => challenge("invalid_token"),
            _ => status(200),
        }
    }));
    assert_eq!(bench.status().await, 200);
    let requests = bench.api.requests();
    let identifiers: HashSet<_> = requests.iter().map(|request| claim(request, "jti").to_string()).collect();
    let tokens: Vec<_> =
        requests.iter().map(|request| request.headers()["authorization"].to_str().unwrap()).collect();
    assert_eq!(identifiers.len(), 4);
    assert_eq!(tokens, ["DPoP token-1", "DPoP token-1", "DPoP token-2", "DPoP token-2"]);
}

#[tokio::test(start_paused = true)]
async fn endless_challenges_end_after_three_attempts() {
    let mut number = 0;
    let bench = Bench::new(Server::new(move |_| {
        number += 1;
        with_header(challenge("use_dpop_nonce"), "dpop-nonce", &number.to_string())
    }));
    assert_eq!((bench.status().await, bench.api.count()), (401, 3));
}

#[tokio::test(start_paused = true)]
async fn the_same_nonce_again_is_not_answered() {
    let bench = Bench::new(Server::new(|_| with_header(challenge("use_dpop_nonce"), "dpop-nonce", "same")));
    assert_eq!((bench.status().await, bench.api.count()), (401, 2));
    let bench = Bench::new(Server::new(|_| challenge("use_dpop_nonce")));
    assert_eq!((bench.status().await, bench.api.count()), (401, 1));
}

/// Some gateway stamps answers by a clock that is five minutes ahead of the one that checks proofs.
#[tokio::test(start_paused = true)]
async fn a_wrong_date_costs_one_request_and_breaks_nothing() {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    let bench = Bench::new(Server::new(move |request| {
        let now = Timestamp::now();
        let answer = match verifier.verify(&received(request), now) {
            Ok(_) => status(200),
            Err(error) => challenge(error.oauth_code()),
        };
        with_header(answer, "date", &http_date(now.saturating_add(Duration::from_secs(300))))
    }));
    for expected in [1, 3, 4, 5] {
        assert_eq!((bench.status().await, bench.api.count()), (200, expected));
    }
}

/// One path whose proofs are refused for a reason of its own does not unlearn the right time.
#[tokio::test(start_paused = true)]
async fn a_path_that_is_always_refused_costs_others_nothing() {
    let offset = Duration::from_secs(240);
    let bench = Bench::new(Server::new(move |request| {
        let now = Timestamp::now().saturating_add(offset);
        let is_late = claim(request, "iat").as_i64().unwrap() < now.unix_seconds() - 60;
        let answer = match request.uri().path() {
            "/rewritten" => challenge("invalid_dpop_proof"),
            _ if is_late => challenge("invalid_dpop_proof"),
            _ => status(200),
        };
        with_header(answer, "date", &http_date(now))
    }));
    assert_eq!((bench.status().await, bench.api.count()), (200, 2));
    for number in 0..3 {
        assert_eq!(bench.call("https://api.test/rewritten").await.unwrap().status(), 401);
        assert_eq!((bench.status().await, bench.api.count()), (200, 5 + 3 * number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let bench = Bench::new(Server::new(|_| challenge("invalid_token")));
    assert_eq!(bench.status().await, 401);
    assert_eq!((bench.api.count(), bench.authority.count()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn other_refusals_are_the_callers() {
    for error in ["insufficient_scope", "invalid_dpop_proof"] {
        let bench = Bench::new(Server::new(move |_| challenge(error)));
        assert_eq!(bench.status().await, 401);
        assert_eq!((bench.api.count(), bench.authority.count()), (1, 1), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_authority_is_away_too_the_servers_answer_stands() {
    let mut answers = [status(200), challenge("invalid_token")].into_iter();
    let bench = Bench::new(Server::new(move |_| answers.next().unwrap()));
    assert_eq!(bench.status().await, 200);
    bench.authority.handle(|_| status(503));
    assert_eq!(bench.status().await, 401);
}

#[tokio::test(start_paused = true)]
async fn no_token_leaves_for_another_origin() {
    let bench = Bench::new(Server::new(|_| status(200)));
    let others = [
        "https://api.test:8443/",
        "http://api.test/",
        "https://api.test.evil/",
        "https://u@api.test/",
        "/v1",
    ];
    for url in others {
        let error = bench.call(url).await.unwrap_err().downcast::<Error>().unwrap();
        assert!(matches!(*error, Error::ForeignOrigin { .. }), "{url}");
    }
    assert_eq!((bench.api.count(), bench.authority.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent() {
    let bench = Bench::new(Server::new(|_| status(200)));
    bench.authority.handle(|_| status(503));
    let NoToken(cause) = *bench.call(URL).await.unwrap_err().downcast::<NoToken>().unwrap();
    assert!(cause.downcast_ref::<Error>().unwrap().retry_after().is_some());
    assert_eq!(bench.api.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bearer_token_goes_without_a_proof() {
    let authority = Server::new(|_| status(503));
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let api = Server::new(|_| status(200));
    let origin = Uri::from_static("https://api.test");
    let layer = AuthorizeLayer::new(tokens(&authority, &settings), "scanner", &origin);
    layer.layer(api.service()).oneshot(Request::get(URL).body(Bytes::new()).unwrap()).await.unwrap();
    let request = &api.requests()[0];
    assert_eq!(request.headers()["authorization"], "Bearer static-token");
    assert!(!request.headers().contains_key("dpop"));
}

#[tokio::test(start_paused = true)]
async fn one_refused_token_costs_a_thousand_callers_one_request() {
    let bench = Bench::new(Server::new(|request| {
        let old = request.headers()["authorization"] == "DPoP token-1";
        if old { challenge("invalid_token") } else { status(200) }
    }));
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let http = bench.http.clone();
        callers.spawn(async move {
            http.oneshot(Request::get(URL).body(Bytes::new()).unwrap()).await.unwrap().status().as_u16()
        });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(bench.authority.count(), 2);
}

/// The server takes the newest two nonces and makes a new one every 100 ms.
#[tokio::test(start_paused = true)]
async fn fast_rotating_nonces_lose_no_request() {
    let started = Instant::now();
    let failures = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new(
        Server::new(move |request| {
            let newest = u64::try_from(started.elapsed().as_millis()).unwrap() / 100 + 1;
            let sent: u64 = claim(request, "nonce").as_str().unwrap_or("0").parse().unwrap();
            let known = sent + 1 >= newest && sent > 0;
            let answer = if known { status(200) } else { challenge("use_dpop_nonce") };
            with_header(answer, "dpop-nonce", &newest.to_string())
        })
        .with_latency(Duration::from_millis(20)),
    );
    let sent = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..50 {
        let (http, failures, sent) = (bench.http.clone(), Arc::clone(&failures), Arc::clone(&sent));
        callers.spawn(async move {
            for _ in 0..10 {
                let answer =
                    http.clone().oneshot(Request::get(URL).body(Bytes::new()).unwrap()).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
                if answer.status() != 200 {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(37 + caller)).await;
            }
        });
    }
    callers.join_all().await;
    assert_eq!((sent.load(Ordering::Relaxed), failures.load(Ordering::Relaxed)), (500, 0));
}

/// Bodies are anything that can be cloned, and answers anything at all.
#[tokio::test(start_paused = true)]
async fn any_cloneable_body_will_do() {
    let authority = Server::issuing(120);
    let tokens: Tokens = tokens(&authority, &[]);
    let layer = AuthorizeLayer::new(tokens, "scanner", &Uri::from_static("https://api.test"));
    let echo = tower::service_fn(|request: Request<Vec<u8>>| async move {
        Ok::<_, std::convert::Infallible>(Response::new(request.into_body().len()))
    });
    let request = Request::get("https://api.test/").body(vec![0; 7]).unwrap();
    assert_eq!(layer.layer(echo).oneshot(request).await.unwrap().into_body(), 7);
}

/// Some servers call a proof with a wrong time an invalid token. A new token does not help, the other clock
/// does, and the good token is kept.
#[tokio::test(start_paused = true)]
async fn a_wrong_date_that_makes_tokens_invalid_is_found_out() {
    let options = VerifierOptions { require_nonce: false, ..VerifierOptions::default() };
    let verifier = Verifier::new(options);
    let bench = Bench::new(Server::new(move |request| {
        let access_token = request.headers()["authorization"].to_str().unwrap().strip_prefix("DPoP ");
        let received = ReceivedProof { access_token, ..received(request) };
        let answer = match verifier.verify(&received, Timestamp::now()) {
            Ok(_) => status(200),
            Err(_) => challenge("invalid_token"),
        };
        with_header(answer, "date", &http_date(Timestamp::now().saturating_add(Duration::from_secs(300))))
    }));
    assert_eq!((bench.status().await, bench.api.count()), (200, 1));
    // The wrong date is known now: the token, another token, and then our own clock.
    assert_eq!((bench.status().await, bench.api.count(), bench.authority.count()), (200, 4, 2));
    assert_eq!((bench.status().await, bench.api.count(), bench.authority.count()), (200, 5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_logged_with_the_servers_reason() {
    let log = Log::default();
    let _guard = log.start();
    let header =
        r#"DPoP error="invalid_token", error_description="cnf.jkt is missing; got canary0token0canary""#;
    let bench = Bench::new(Server::new(move |_| with_header(status(401), "www-authenticate", header)));
    assert_eq!(bench.status().await, 401);
    let lines = log.lines("OpTok was refused by its audience");
    assert_eq!(lines[0]["reason"], "invalid_token: cnf.jkt is missing; got …");
}

#[tokio::test(start_paused = true)]
async fn a_first_request_that_hangs_holds_up_those_who_wait_and_nobody_after_them() {
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&Server::issuing(120), &[], key, &Telemetry::detached()));
    // So that nobody waits for the token.
    tokens.token("scanner").await.unwrap();
    let layer = AuthorizeLayer::new(tokens, "scanner", &Uri::from_static("https://api.test"));
    let api = HttpService::new(tower::service_fn(|request: Request<Bytes>| async move {
        match request.uri().path() {
            "/hangs" => std::future::pending().await,
            _ => Ok::<_, BoxError>(status(200)),
        }
    }));
    let http = HttpService::new(layer.layer(api));
    let call = |url: &'static str| {
        let http = http.clone();
        async move { http.oneshot(Request::post(url).body(Bytes::new()).unwrap()).await.unwrap().status() }
    };
    let hanging = tokio::spawn(call("https://api.test/hangs"));
    tokio::task::yield_now().await;
    let start = Instant::now();
    let mut waiting: JoinSet<_> = (0..10).map(|_| call("https://api.test/")).collect();
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    // The shortest budget of a review is a second.
    assert!(start.elapsed() <= Duration::from_millis(500), "{:?}", start.elapsed());
    for _ in 0..100 {
        let start = Instant::now();
        assert_eq!(call("https://api.test/").await, 200);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert!(!hanging.is_finished());
}
