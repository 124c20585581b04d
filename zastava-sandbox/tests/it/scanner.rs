use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};
use zastava_authority::DpopKey;
use zastava_core::contract::EventsAccepted;
use zastava_core::secret::Secret;
use zastava_sandbox::SandboxOptions;

use crate::client::{Answer, Bench, EVENTS, POLICY, SCOPES, batch, event, form};

#[track_caller]
fn check_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.starts_with("DPoP ") && challenge.contains(&format!("error=\"{code}\"")),
        "{challenge}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.nonce();
}

#[tokio::test]
async fn events_are_accepted_once_and_counted_as_duplicates_after() {
    let bench = Bench::new().await;
    let answer = bench.post(EVENTS, batch(&[event("a"), event("b"), event("a")])).await.expect("answers");
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let counted: EventsAccepted = serde_json::from_slice(&answer.body).expect("reads");
    assert_eq!(counted, EventsAccepted { accepted: 2, duplicates: 1 });
    for path in ["/runtime/events", "/api/v1/runtime/events"] {
        let answer = bench.post(path, batch(&[event("b")])).await.expect("answers");
        assert_eq!(answer.json(), json!({"accepted": 0, "duplicates": 1}), "{path}");
    }
    let ids: Vec<_> = bench.sandbox.accepted().into_iter().map(|kept| kept.event.event_id).collect();
    assert_eq!(ids, ["a", "b"]);
    let counts = bench.sandbox.counts();
    assert_eq!((counts.batches, counts.events_accepted, counts.events_duplicate), (3, 2, 3));
}

#[tokio::test]
async fn waiting_ends_when_the_event_has_arrived() {
    let bench = Bench::new().await;
    let sandbox = bench.sandbox.clone();
    let arrived = tokio::spawn(async move {
        sandbox.wait_until(|counts, events| counts.batches == 2 && events.len() == 2).await;
    });
    for id in ["a", "b"] {
        bench.post(EVENTS, batch(&[event(id)])).await.expect("answers");
    }
    arrived.await.expect("ends");
}

#[tokio::test]
async fn credentials_that_are_not_right_are_refused() {
    let bench = Bench::new().await;
    let uri = bench.scanner_uri(EVENTS);
    let token = bench.token(SCOPES).await;
    let nonce = bench.scanner_nonce(&token).await;
    let send = async |authorization: String, proof: String| {
        let request = bench.scanner_request(EVENTS, &authorization, &proof, batch(&[event("a")]));
        bench.send(request).await.expect("answers")
    };
    let dpop = || format!("DPoP {token}");
    let good = bench.proof(&uri, Some(&token), Some(&nonce));
    let stranger = DpopKey::generate();
    let (post, key) = (&Method::POST, &bench.key);

    check_refused(&send(format!("Bearer {token}"), good.clone()).await, 401, "invalid_token");
    check_refused(&send("DPoP nonsense".to_owned(), good.clone()).await, 401, "invalid_token");
    check_refused(&send(format!("DPoP {}", resigned(&token)), good.clone()).await, 401, "invalid_token");

    let wrong_key = bench.proof_by(&stranger, post, &uri, Some(&token), Some(&nonce));
    check_refused(&send(dpop(), wrong_key).await, 401, "invalid_dpop_proof");
    let wrong_method = bench.proof_by(key, &Method::PUT, &uri, Some(&token), Some(&nonce));
    check_refused(&send(dpop(), wrong_method).await, 401, "invalid_dpop_proof");
    let wrong_path = bench.proof(&bench.scanner_uri(POLICY), Some(&token), Some(&nonce));
    check_refused(&send(dpop(), wrong_path).await, 401, "invalid_dpop_proof");
    let host: Uri = uri.to_string().replace("127.0.0.1", "localhost").parse().expect("is a URI");
    let wrong_host = bench.proof(&host, Some(&token), Some(&nonce));
    check_refused(&send(dpop(), wrong_host).await, 401, "invalid_dpop_proof");
    let without_token = bench.proof(&uri, None, Some(&nonce));
    check_refused(&send(dpop(), without_token).await, 401, "invalid_dpop_proof");
    let other_servers = bench.proof(&uri, Some(&token), Some(&bench.authority_nonce().await));
    check_refused(&send(dpop(), other_servers).await, 401, "use_dpop_nonce");

    assert_eq!(bench.sandbox.counts().batches, 0);
    assert_eq!(send(dpop(), good.clone()).await.status, StatusCode::ACCEPTED, "was not spent yet");
    check_refused(&send(dpop(), good).await, 401, "invalid_dpop_proof");
    assert_eq!(bench.sandbox.counts().tokens_refused, 3);
}

#[tokio::test]
async fn the_bootstraps_token_is_taken_as_a_bearer_where_it_was_handed_out() {
    let known =
        |options: &mut SandboxOptions| options.static_token = Some(Secret::new("boot.strap".to_owned()));
    for (bench, authorization, status) in [
        (Bench::with(known).await, "Bearer boot.strap", 202),
        (Bench::with(known).await, "Bearer boot.stra", 401),
        (Bench::with(known).await, "DPoP boot.strap", 401),
        (Bench::with(known).await, "Bearer ", 400),
        (Bench::new().await, "Bearer boot.strap", 401),
    ] {
        let request = bench.scanner_request(EVENTS, authorization, "x", batch(&[event("a")]));
        let answer = bench.send(request).await.expect("answers");
        assert_eq!(answer.status.as_u16(), status, "{authorization}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_without_credentials_learns_no_error_code() {
    let bench = Bench::new().await;
    let mut request = bench.scanner_request(EVENTS, "DPoP x", "x", batch(&[event("a")]));
    request.headers_mut().remove(header::AUTHORIZATION);
    let answer = bench.send(request).await.expect("answers");
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "DPoP algs=\"ES256\""));

    let mut request = bench.scanner_request(EVENTS, "DPoP x", "x", batch(&[event("a")]));
    request.headers_mut().append(header::AUTHORIZATION, HeaderValue::from_static("Bearer y"));
    assert_eq!(bench.send(request).await.expect("answers").status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tokens_for_others_and_tokens_past_their_time_are_refused() {
    let bench = Bench::with(|options| options.token_lifetime = Duration::from_secs(20)).await;
    let uri = bench.scanner_uri(EVENTS);
    let send = async |token: &str, nonce: &str| {
        let proof = bench.proof(&uri, Some(token), Some(nonce));
        let request = bench.scanner_request(EVENTS, &format!("DPoP {token}"), &proof, batch(&[event("a")]));
        bench.send(request).await.expect("answers")
    };
    let token = bench.token(SCOPES).await;
    let nonce = bench.scanner_nonce(&token).await;

    let other_audience = format!("{}&audience=attestor", form("api:scanner.runtime.write"));
    let answer = bench.ask_token(&other_audience).await.json();
    let other_audience = answer["access_token"].as_str().expect("has a token");
    check_refused(&send(other_audience, &nonce).await, 401, "invalid_token");
    check_refused(&send(&bench.token("aud:scanner").await, &nonce).await, 403, "insufficient_scope");

    // Signed by another sandbox, and right in all else.
    let other = Bench::new().await;
    let foreign = other.token(SCOPES).await;
    check_refused(&send(&foreign, &nonce).await, 401, "invalid_token");

    bench.clock.advance(Duration::from_secs(19));
    assert_eq!(send(&token, &nonce).await.status, StatusCode::ACCEPTED);
    bench.clock.advance(Duration::from_secs(1));
    check_refused(&send(&token, &nonce).await, 401, "invalid_token");
}

#[tokio::test]
async fn a_faulty_event_is_named_and_nothing_of_its_batch_is_taken() {
    let bench = Bench::new().await;
    let with = |pointer: &str, value: Value| {
        let mut event = event("x");
        *event.pointer_mut(pointer).expect("is there") = value;
        event
    };
    let mut nodeless = event("x");
    nodeless["event"].as_object_mut().expect("is an object").remove("node");
    let mut misbuilt = event("x");
    misbuilt["event"]["process"] = json!({"pid": 1, "buildId": "ABCD"});
    let rows = [
        (nodeless, "missing field `node`"),
        (misbuilt, "buildId"),
        (json!(7), "invalid type"),
        (with("/schemaVersion", json!("zastava.runtime.event@v2.0")), "schemaVersion"),
        (with("/schemaVersion", json!("zastava.admission.decision@v1.0")), "schemaVersion"),
        (with("/event/kind", json!("Started")), "kind of runtime event"),
        (with("/event/when", json!("yesterday")), "RFC 3339"),
        (with("/event/eventId", json!("")), "eventId"),
        (with("/event/runtime/engine", json!("podman")), "runtime.engine"),
        (with("/event/workload/platform", json!("nomad")), "workload.platform"),
        (with("/event/workload/containerId", json!("4f1a")), "containerId"),
    ];
    for (faulty, reason) in rows {
        let events: Vec<Value> = (0..11).map(|id| event(&id.to_string())).chain([faulty]).collect();
        let answer = bench.post(EVENTS, batch(&events)).await.expect("answers");
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (400, "application/problem+json")
        );
        assert_eq!(problem["type"], "https://stellaops.org/problems/validation");
        let detail = problem["detail"].as_str().expect("has a detail");
        assert!(detail.starts_with("events[11]: ") && detail.contains(reason), "{detail}");
        assert!(problem["errors"]["events[11]"][0].is_string(), "{problem}");
    }
    let newer = with("/schemaVersion", json!("zastava.runtime.event@v1.7"));
    assert_eq!(bench.post(EVENTS, batch(&[newer])).await.expect("answers").status, StatusCode::ACCEPTED);
    assert_eq!(bench.sandbox.accepted().len(), 1);
    assert_eq!(bench.sandbox.counts().batches_refused, 11);
}

#[tokio::test]
async fn the_first_of_many_faulty_events_is_told_first() {
    let bench = Bench::new().await;
    let events: Vec<Value> =
        (0..12).map(|id| if id < 2 { event(&id.to_string()) } else { json!({}) }).collect();
    let problem = bench.post(EVENTS, batch(&events)).await.expect("answers").json();
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.starts_with("events[2]: ")), "{problem}");
    assert_eq!(problem["errors"].as_object().expect("is a map").len(), 10);
}

#[tokio::test]
async fn bodies_that_are_no_batch_or_too_large_are_refused() {
    let bench = Bench::new().await;
    let many: Vec<Value> = (0..257).map(|id| event(&id.to_string())).collect();
    let mut padded = event("x");
    padded["event"]["annotations"] = json!({"a": "x".repeat(1024 * 1024)});
    let rows: [(Bytes, u16); 6] = [
        (batch(&many), 413),
        (batch(&[padded]), 413),
        (vec![b' '; 12 * 1024 * 1024].into(), 413),
        (batch(&[]), 400),
        (Bytes::from_static(b"{\"events\": {}}"), 400),
        (Bytes::from_static(b"{"), 400),
    ];
    for (body, status) in rows {
        let answer = bench.post(EVENTS, body).await.expect("answers");
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let all = bench.post(EVENTS, batch(&many[..256])).await.expect("answers");
    assert_eq!(all.json()["accepted"], 256);
}

#[tokio::test]
async fn other_media_and_other_methods_are_refused() {
    let bench = Bench::new().await;
    for (name, value) in [(header::CONTENT_TYPE, "text/plain"), (header::CONTENT_ENCODING, "gzip")] {
        let token = bench.token(SCOPES).await;
        let nonce = bench.scanner_nonce(&token).await;
        let proof = bench.proof(&bench.scanner_uri(EVENTS), Some(&token), Some(&nonce));
        let body = batch(&[event("a")]);
        let mut request = bench.scanner_request(EVENTS, &format!("DPoP {token}"), &proof, body);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let answer = bench.send(request).await.expect("answers");
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let answer = bench.get(&bench.scanner_uri(EVENTS).to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    assert_eq!(bench.get(&bench.scanner_uri("/healthz/ready").to_string()).await.status, StatusCode::OK);
}

/// The token with another first letter of its signature.
fn resigned(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("has a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}
