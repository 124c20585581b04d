use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use zastava_core::clock::Timestamp;
use zastava_core::contract::PolicyRequest;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::no_token::NoToken;
use zastava_core::options::BackendOptions;
use zastava_core::scanner::{ScannerClient, ScannerError, retry_after};
use zastava_core::telemetry::Telemetry;

/// A Scanner that always says the same; `None` cannot be reached.
fn client(answer: Option<http::Response<Bytes>>) -> (ScannerClient, Telemetry) {
    let http = HttpService::new(tower::service_fn(move |request: http::Request<Bytes>| {
        let answer = answer.clone().ok_or_else(|| BoxError::from("connection refused"));
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
        async move { answer }
    }));
    let telemetry = Telemetry::detached();
    let options = BackendOptions::new("https://scanner.internal/base/".parse().expect("is a URL"));
    assert_eq!(options.policy_url(), "https://scanner.internal/base/api/v1/scanner/policy/runtime");
    (ScannerClient::new(http, &options, &telemetry), telemetry)
}

fn response(status: u16, body: &'static str) -> Option<http::Response<Bytes>> {
    let builder = http::Response::builder().status(status).header(header::RETRY_AFTER, "7");
    builder.body(Bytes::from_static(body.as_bytes())).ok()
}

#[tokio::test]
async fn accepted_events_are_counted() {
    let (client, telemetry) = client(response(202, r#"{"accepted": 3, "duplicates": 1, "more": true}"#));
    let accepted = client.send_events(Bytes::new()).await.expect("is accepted");
    assert_eq!((accepted.accepted, accepted.duplicates), (3, 1));
    let text = telemetry.render();
    assert!(
        text.contains(r#"zastava_runtime_backend_latency_ms_count{endpoint="events",status="202"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn refusals_tell_what_to_do_next() {
    let problem =
        r#"{"type": "https://stellaops.org/problems/validation", "detail": "event 3:\u001b[31m bad"}"#;
    let (client, _) = client(response(400, problem));
    let error = client.policy(&PolicyRequest::default()).await.expect_err("is refused");
    assert!(error.is_rejected_content() && !error.is_too_large());
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(error.to_string(), "scanner answered 400 Bad Request: event 3:\\u{1b}[31m bad");
}

#[tokio::test]
async fn html_and_silence_are_told_apart() {
    let (html, _) = client(response(200, "<html>login</html>"));
    let error = html.policy(&PolicyRequest::default()).await.expect_err("is malformed");
    assert!(matches!(error, ScannerError::Malformed(_)), "{error:?}");
    let (silent, _) = client(None);
    let error = silent.policy(&PolicyRequest::default()).await.expect_err("is unreachable");
    assert!(matches!(error, ScannerError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn what_was_not_sent_for_want_of_a_token_is_no_silence_of_scanner_s() {
    let http = HttpService::new(tower::service_fn(|_: http::Request<Bytes>| async {
        Err::<http::Response<Bytes>, _>(BoxError::from(NoToken("authority answered 503".into())))
    }));
    let telemetry = Telemetry::detached();
    let options = BackendOptions::new("https://scanner.internal".parse().expect("is a URL"));
    let client = ScannerClient::new(http, &options, &telemetry);
    let error = client.policy(&PolicyRequest::default()).await.expect_err("is not sent");
    assert_eq!(error.to_string(), "no token from authority, so scanner was not asked");
    let cause = std::error::Error::source(&error).expect("has a cause");
    assert_eq!(cause.to_string(), "authority answered 503");
    let text = telemetry.render();
    let series = r#"zastava_runtime_backend_latency_ms_count{endpoint="policy",status="no-token"} 1"#;
    assert!(text.contains(series), "{text}");
}

/// Otherwise a Scanner that hangs would be missing from the latency that operators watch.
#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_timed_too() {
    let http = HttpService::new(tower::service_fn(|_: http::Request<Bytes>| async {
        std::future::pending::<Result<http::Response<Bytes>, BoxError>>().await
    }));
    let telemetry = Telemetry::detached();
    let options = BackendOptions::new("https://scanner.internal".parse().expect("is a URL"));
    let client = ScannerClient::new(http, &options, &telemetry);
    let request = PolicyRequest::default();
    let given_up = tokio::time::timeout(Duration::from_millis(1), client.policy(&request)).await;
    assert!(given_up.is_err());
    let text = telemetry.render();
    let series = r#"zastava_runtime_backend_latency_ms_count{endpoint="policy",status="given-up"} 1"#;
    assert!(text.contains(series), "{text}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: Timestamp = "1994-11-06T08:49:30Z".parse().expect("is a time");
    for (text, wanted) in [
        ("5", Some(5)),
        (" 5 ", Some(5)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, text.parse().expect("is a header"));
        assert_eq!(retry_after(&headers, now), wanted.map(Duration::from_secs), "{text:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[tokio::test]
async fn a_route_that_is_not_there_names_its_url_and_its_settings() {
    let (client, _) = client(response(404, "<html>no such page</html>"));
    let refused = [
        (client.send_events(Bytes::new()).await.map(drop), "/api/v1/scanner/runtime/events", "events"),
        (
            client.policy(&PolicyRequest::default()).await.map(drop),
            "/api/v1/scanner/policy/runtime",
            "policy",
        ),
    ];
    for (outcome, path, name) in refused {
        let error = outcome.expect_err("is refused").to_string();
        let expected = format!("{path}; check backend.baseAddress and backend.{name}Path");
        assert!(
            error.starts_with("scanner answered 404 Not Found at https://") && error.ends_with(&expected),
            "{error}"
        );
    }
}

/// An answer may repeat what was sent, and the parser of JSON quotes what it does not expect.
#[tokio::test]
async fn an_answer_of_another_shape_is_not_quoted() {
    for body in
        [r#""DPoP canary-token-canary""#, r#"{"results": "canary-token-canary"}"#, "canary-token-canary"]
    {
        let (client, _) = client(response(200, body));
        let error = client.policy(&PolicyRequest::default()).await.expect_err("is malformed");
        let cause = std::error::Error::source(&error).expect("has a cause");
        let shown = format!("{error} {error:?} {cause}");
        assert!(shown.contains("line 1 column") && !shown.contains("canary"), "{shown}");
    }
}
