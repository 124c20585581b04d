//! The HTTPS side: statuses, bounds, deadlines, the end.

use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zastava_admission::{App, Error};
use zastava_core::contract::Decision;
use zastava_core::program::Health;
use zastava_core::telemetry::{CERTIFICATE_EXPIRY, Telemetry};

use super::scanner::{FakeScanner, Mood, SIGNED, UNSIGNED, pod_review};
use super::web::{post, self_signed};
use super::webhook::{Webhook, options, write_pair};

#[tokio::test]
async fn one_connection_serves_many_reviews() {
    let webhook = Webhook::start("").await;
    let mut connection = webhook.connect().await;
    for (target, image, allowed) in
        [("/validate?timeout=10s", SIGNED, true), ("/", UNSIGNED, false), ("/validate", SIGNED, true)]
    {
        let answer = connection.review(target, &pod_review(&[image])).await.unwrap();
        assert_eq!(answer.response()["allowed"], allowed);
        assert!(!answer.closes());
    }
    assert_eq!(webhook.decided(), [Decision::Allow, Decision::Deny, Decision::Allow]);
}

#[tokio::test]
async fn what_is_no_review_gets_a_status() {
    let webhook = Webhook::start("").await;
    let review = pod_review(&[SIGNED]).to_string();
    let typed = |content_type: &str| {
        let mut request = post("/validate", review.clone());
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        request
    };
    let get = Request::get("/validate").header(header::HOST, "localhost").body(Full::default()).unwrap();
    let mut untyped = post("/validate", review.clone());
    untyped.headers_mut().remove(header::CONTENT_TYPE);
    for (request, status, reason, expected) in [
        (post("/validate", "{"), StatusCode::BAD_REQUEST, "not-a-review", "not an AdmissionReview"),
        (post("/validate", ""), StatusCode::BAD_REQUEST, "not-a-review", "not an AdmissionReview"),
        (
            post("/validate", review.replace("705ab4f5-6393-11e8-b7cc-42010a800002", "")),
            StatusCode::BAD_REQUEST,
            "not-a-review",
            "uid",
        ),
        (post("/metrics", review.clone()), StatusCode::NOT_FOUND, "path", "/validate"),
        (get, StatusCode::METHOD_NOT_ALLOWED, "method", "POST"),
        (typed("text/plain"), StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "application/json"),
        (typed("application/jsonx"), StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "application/json"),
        (untyped, StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "application/json"),
    ] {
        let before = webhook.refused(reason);
        let answer = webhook.connect().await.send(request).await.unwrap();
        assert_eq!(webhook.refused(reason), before + 1, "{reason}");
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(answer.closes());
        assert_eq!(answer.headers.contains_key(header::ALLOW), status == StatusCode::METHOD_NOT_ALLOWED);
    }
    let answer = webhook.connect().await.send(typed("Application/JSON; charset=utf-8")).await.unwrap();
    assert_eq!(answer.response()["allowed"], true);
    assert_eq!(webhook.decided(), [Decision::Allow], "what was no review is no decision");
}

#[tokio::test]
async fn caller_is_answered_within_its_own_timeout() {
    let webhook = Webhook::start("").await;
    webhook.scanner.mood(Mood::Hangs);
    let mut connection = webhook.connect().await;
    let answer = connection.review("/validate?timeout=1s", &pod_review(&[SIGNED])).await.unwrap();
    let message = answer.response()["status"]["message"].as_str().unwrap().to_owned();
    let (_, budget) = message.split_once("no verdict within ").unwrap();
    let budget: u64 = budget.split(' ').next().unwrap().parse().unwrap();
    assert!((100..=700).contains(&budget), "{message}");
}

#[tokio::test]
async fn plain_http_and_other_noise_do_no_harm() {
    let webhook = Webhook::start("limits: {maxConnections: 1}").await;
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b""] {
        let mut stream = tokio::net::TcpStream::connect(webhook.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let answer = webhook.connect().await.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true);
}

#[tokio::test]
async fn end_waits_for_reviews_in_flight() {
    let webhook = Webhook::start("drainSeconds: 0").await;
    let mut idle = webhook.connect().await;
    idle.review("/", &pod_review(&[SIGNED])).await.unwrap();
    webhook.scanner.asked().await;
    assert!(webhook.health.is_ready());
    webhook.scanner.hold();
    let mut busy = webhook.connect().await;
    let in_flight = tokio::spawn(async move { busy.review("/", &pod_review(&[UNSIGNED])).await });
    webhook.scanner.asked().await;
    webhook.shutdown.begin();
    // The idle connection's end shows that the webhook takes nothing new.
    idle.ended().await;
    assert!(!webhook.health.is_ready());
    assert!(!webhook.running.is_finished());
    assert!(tokio::net::TcpStream::connect(webhook.address).await.is_err());
    webhook.scanner.release();
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(answer.response()["allowed"], false);
    assert!(answer.closes());
    webhook.running.await.unwrap();
}

#[tokio::test]
async fn drain_serves_on_and_closes_connections_one_by_one() {
    let webhook = Webhook::start("drainSeconds: 5m").await;
    let mut kept = webhook.connect().await;
    assert!(!kept.review("/", &pod_review(&[SIGNED])).await.unwrap().closes());
    webhook.shutdown.begin();
    let answer = kept.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert!(answer.closes() && answer.response()["allowed"] == true);
    let answer = webhook.connect().await.review("/", &pod_review(&[UNSIGNED])).await.unwrap();
    assert!(answer.closes() && answer.response()["allowed"] == false);
    assert!(!webhook.health.is_ready());
    webhook.running.abort();
}

#[tokio::test]
async fn certificates_end_is_a_metric() {
    let webhook = Webhook::start("").await;
    // rcgen's default end: 4096-01-01.
    assert_eq!(webhook.telemetry.gauge(CERTIFICATE_EXPIRY).get(&["webhook"]), 67_090_118_400.0);
    webhook.shutdown.begin();
}

#[tokio::test]
async fn pair_that_cannot_serve_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = || async {
        let (telemetry, health) = (Telemetry::detached(), Health::new());
        App::with_source(options(path, ""), FakeScanner::demo(), &telemetry, &health, |_| {})
            .await
            .map(|_| ())
    };
    assert!(matches!(start().await, Err(Error::CertificateFile { .. })));
    let (certificate, key) = self_signed();
    let (_, other_key) = self_signed();
    for pair in [
        (certificate.clone(), other_key),
        (String::new(), key.clone()),
        (certificate.clone(), "-----BEGIN PRIVATE KEY-----\n".to_owned()),
        (certificate.replace('A', "!"), key.clone()),
    ] {
        write_pair(path, pair);
        let error = start().await.unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("BEGIN"));
    }
    write_pair(path, (certificate, key));
    start().await.unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(path, "");
    options.listen = taken.local_addr().unwrap();
    let (telemetry, health) = (Telemetry::detached(), Health::new());
    let app = App::with_source(options, FakeScanner::demo(), &telemetry, &health, |_| {}).await;
    assert!(matches!(app, Err(Error::Listen { .. })));
}
