use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::json;
use zastava_sandbox::{Fault, FaultKind, Route};

use crate::client::{Bench, EVENTS, POLICY, SCOPES, batch, event, form};

fn question() -> Bytes {
    json!({"images": ["registry.sandbox.local/demo/any:1"]}).to_string().into()
}

#[tokio::test]
async fn each_kind_of_fault_is_shown_as_often_as_asked() {
    let bench = Bench::new().await;
    let token = bench.token(SCOPES).await;
    let nonce = bench.scanner_nonce(&token).await;
    let send = async |path: &str, body: Bytes| {
        let proof = bench.proof(&bench.scanner_uri(path), Some(&token), Some(&nonce));
        bench.send(bench.scanner_request(path, &format!("DPoP {token}"), &proof, body)).await
    };
    let busy = FaultKind::Status { status: 429, retry_after: Some(7) };
    let delayed = FaultKind::Delay(Duration::from_millis(1));
    for (route, kind, times) in [
        (Route::Events, busy, 2),
        (Route::Events, FaultKind::WrongContent, 1),
        (Route::Events, FaultKind::Reset, 1),
        (Route::Events, delayed, 1),
        (Route::Policy, FaultKind::Status { status: 503, retry_after: None }, 1),
    ] {
        bench.sandbox.misbehave(Fault { route, kind, times });
    }
    let events = || batch(&[event("a")]);
    for _ in 0..2 {
        let answer = send(EVENTS, events()).await.expect("answers");
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "7"));
    }
    let page = send(EVENTS, events()).await.expect("answers");
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    send(EVENTS, events()).await.expect_err("the connection is dropped");
    assert_eq!(bench.sandbox.counts().events_accepted, 0);
    assert_eq!(send(EVENTS, events()).await.expect("answers late").status, StatusCode::ACCEPTED);

    let answer = send(POLICY, question()).await.expect("answers");
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, ""));
    assert_eq!(send(POLICY, question()).await.expect("answers").status, StatusCode::OK);
    assert_eq!(bench.sandbox.counts().faults_shown, 6);
}

#[tokio::test]
async fn the_token_endpoint_fails_on_demand_and_faults_are_forgotten() {
    let bench = Bench::new().await;
    let kind = FaultKind::Status { status: 500, retry_after: None };
    bench.sandbox.misbehave(Fault { route: Route::Token, kind, times: u32::MAX });
    let request = || bench.token_request(&form(SCOPES), None);
    for _ in 0..3 {
        assert_eq!(bench.send(request()).await.expect("answers").status.as_u16(), 500);
    }
    assert_eq!(bench.sandbox.counts().token_requests, 3);
    bench.sandbox.clear_faults();
    bench.token(SCOPES).await;
}

#[tokio::test]
async fn faults_nonces_and_events_are_controlled_over_http() {
    let bench = Bench::new().await;
    let control = async |method: Method, path: &str, body: &str| {
        let uri = bench.scanner_uri(path);
        let request = Request::builder().method(method).uri(uri).body(Bytes::from(body.to_owned()));
        bench.send_without_certificate(request.expect("is a request")).await
    };
    let faults = json!([
        {"route": "events", "kind": "status", "status": 503, "retryAfter": 2, "times": 3},
        {"route": "policy", "kind": "delay", "milliseconds": 1},
        {"route": "events", "kind": "reset"},
        {"route": "token", "kind": "wrongContent", "times": 1},
    ]);
    let answer = control(Method::PUT, "/sandbox/faults", &faults.to_string()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    assert_eq!(control(Method::GET, "/sandbox/status", "").await.json()["faultsWaiting"], 4);
    assert_eq!(bench.send(bench.token_request(&form(SCOPES), None)).await.expect("answers").status, 200);
    assert_eq!(control(Method::GET, "/sandbox/status", "").await.json()["faultsWaiting"], 3);

    for (faults, reason) in [
        (json!([{"route": "events", "kind": "status"}]), "[0]: status takes"),
        (json!([{"route": "events", "kind": "status", "status": 100}]), "[0]: status takes"),
        (
            json!([{"route": "events", "kind": "reset"}, {"route": "policy", "kind": "delay"}]),
            "[1]: delay takes",
        ),
        (json!([{"route": "events", "kind": "reset", "status": 503}]), "[0]: the kind takes"),
        (json!([{"route": "events", "kind": "delay", "milliseconds": 600_001}]), "[0]: delay takes"),
        (json!([{"route": "elsewhere", "kind": "reset"}]), "unknown variant"),
        (json!([{"route": "events", "kind": "reset", "time": 1}]), "unknown field"),
        (json!({}), "invalid type"),
    ] {
        let answer = control(Method::PUT, "/sandbox/faults", &faults.to_string()).await;
        let detail = answer.json()["detail"].as_str().expect("has a detail").to_owned();
        assert!(answer.status == StatusCode::BAD_REQUEST && detail.contains(reason), "{detail}");
    }
    assert_eq!(control(Method::DELETE, "/sandbox/faults", "").await.status, StatusCode::NO_CONTENT);

    let posted = bench.post(EVENTS, batch(&[event("a"), event("b")])).await.expect("answers");
    let events = control(Method::GET, "/sandbox/events", "").await.json();
    assert_eq!((&events[0]["event"]["eventId"], &events[1]["event"]["eventId"]), (&json!("a"), &json!("b")));
    let status = control(Method::GET, "/sandbox/status", "").await.json();
    assert_eq!((&status["counts"]["eventsAccepted"], &status["eventsKept"]), (&json!(2), &json!(2)));

    assert_eq!(control(Method::POST, "/sandbox/rotate-nonces", "").await.status, StatusCode::NO_CONTENT);
    let token = bench.token(SCOPES).await;
    let proof = bench.proof(&bench.scanner_uri(EVENTS), Some(&token), Some(&posted.nonce()));
    let request = bench.scanner_request(EVENTS, &format!("DPoP {token}"), &proof, batch(&[event("c")]));
    let answer = bench.send(request).await.expect("answers");
    assert!(answer.header("www-authenticate").contains("use_dpop_nonce"), "{answer:?}");

    assert_eq!(control(Method::POST, "/sandbox/faults", "[]").await.header("allow"), "PUT, DELETE");
    assert_eq!(control(Method::GET, "/sandbox/else", "").await.status, StatusCode::NOT_FOUND);
}
