//! What is refused before it is read: every refusal is counted, and a review that is too long is denied by a verdict.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zastava_core::contract::Decision;

use super::scanner::{SIGNED, pod, pod_review, update};
use super::web::{Client, post, tls};
use super::webhook::Webhook;

const HEAD: &str = "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// A review in the order in which an API server writes it, with a spec of so many bytes or a little more.
fn long_review(bytes: usize, operation: &str, kind: &str) -> String {
    let object = json!({"metadata": {"name": "web"}, "spec": {
        "containers": [{"name": "a", "image": SIGNED, "args": ["x".repeat(bytes)]}]}});
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u-1",
        "kind":{{"group":"","version":"v1","kind":"{kind}"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "name":"web","namespace":"shop","operation":"{operation}","userInfo":{{}},"object":{object},"oldObject":null}}}}"#
    )
}

#[tokio::test]
async fn review_past_its_bound_is_denied_by_a_verdict() {
    let webhook = Webhook::start("limits: {maxBodyBytes: 128KiB}").await;
    let fits = webhook.connect().await.send(post("/", long_review(120_000, "CREATE", "Pod"))).await.unwrap();
    assert_eq!(fits.response()["allowed"], true);
    for (number, operation) in ["CREATE", "UPDATE"].into_iter().enumerate() {
        let body = long_review(4_000_000, operation, "Pod");
        let answer = webhook.connect().await.send(post("/validate?timeout=30s", body)).await.unwrap();
        let response = answer.response();
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(false)));
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("131072 bytes (limits.maxBodyBytes)") && message.contains("too-large"),
            "{message}"
        );
        assert_eq!(webhook.refused("too-large"), number as u64 + 1);
    }
    // What starts no image is allowed, however long it is.
    let answer =
        webhook.connect().await.send(post("/", long_review(400_000, "DELETE", "Pod"))).await.unwrap();
    assert_eq!(answer.response()["allowed"], true);
    assert_eq!(webhook.decided(), [Decision::Allow, Decision::Deny, Decision::Deny, Decision::Allow]);
    let decisions = webhook.decisions.lock().unwrap();
    assert_eq!(decisions[1].decision.annotations["rule"], "too-large");
    assert_eq!((decisions[1].decision.namespace.as_str(), decisions[1].decision.images.len()), ("shop", 0));
}

/// A body whose length is not declared, in chunks; and one whose beginning says too little for a verdict.
#[tokio::test]
async fn length_need_not_be_declared_and_noise_gets_a_status() {
    let webhook = Webhook::start("limits: {maxBodyBytes: 128KiB}").await;
    let no_uid = long_review(400_000, "CREATE", "Pod").replace("u-1", "");
    let other_kind = long_review(400_000, "CREATE", "Pod").replace("AdmissionReview", "Review");
    let object_first = format!(r#"{{"request":{{"object":{}"#, "x".repeat(400_000));
    for (body, expected) in [
        (long_review(400_000, "CREATE", "Pod"), "HTTP/1.1 200"),
        (no_uid, "HTTP/1.1 413"),
        (other_kind, "HTTP/1.1 413"),
        (object_first, "HTTP/1.1 413"),
        ("x".repeat(400_000), "HTTP/1.1 413"),
    ] {
        let mut stream = tls(webhook.address, &webhook.certificate).await.unwrap();
        stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        for chunk in body.as_bytes().chunks(50_000) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
            stream.write_all(chunk).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), expected);
    }
    assert_eq!(webhook.refused("too-large"), 5);
}

/// Three MiB of `<` in the request of a user become 18 MiB in an object, and an update has two of them.
#[tokio::test]
async fn the_longest_review_of_an_api_server_is_judged() {
    let webhook = Webhook::start("").await;
    let escaped = "\\u003c".repeat(3 << 20);
    let object = pod(&[SIGNED]).to_string().replacen("Always", &escaped, 1);
    let review = update("", "Pod", &Value::Null, &json!("OBJECT"));
    let review = review.to_string().replacen("null", &object, 1);
    let changed = object.replace("signed@sha256:1", "unsigned@sha256:2");
    let body = review.replacen("\"OBJECT\"", &changed, 1);
    assert!(body.len() > 36 << 20, "{}", body.len());
    let answer = webhook.connect().await.send(post("/?timeout=30s", body)).await.unwrap();
    let message = answer.response()["status"]["message"].to_string();
    assert!(message.contains("not signed"), "{message}");
    let decision = webhook.decisions.lock().unwrap()[0].decision.clone();
    assert!(decision.pod_spec_digest.is_some() && decision.images.len() == 1);
}

/// Two bodies that do not fit together, each finished when both are there: one gives way. Its author may have sent both, so that
/// the namespace's failure mode does not let it through.
#[tokio::test]
async fn review_that_gave_way_is_denied_where_the_namespace_fails_open() {
    let settings =
        "limits: {maxBodyBytes: 1MiB, maxBodiesBytes: 1MiB}\n    admission: {failOpenByDefault: true}";
    let webhook = Webhook::start(settings).await;
    let body = long_review(950_000, "CREATE", "Pod");
    let (first, rest) = body.split_at(800_000);
    let head = format!("{HEAD}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut denials = 0;
    // The webhook may read the second only when the first is through: then they did not meet.
    for _ in 0..50 {
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = tls(webhook.address, &webhook.certificate).await.unwrap();
            stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            streams.push(stream);
        }
        for mut stream in streams {
            stream.write_all(rest.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            denials += u64::from(answer.contains("\"allowed\":false") && answer.contains("(rule overload)"));
        }
        if denials > 0 {
            break;
        }
    }
    assert_eq!((denials, webhook.refused("no-room")), (1, 1));
    let decisions = webhook.decisions.lock().unwrap();
    let sources: Vec<_> = decisions.iter().map(|one| one.decision.annotations["source"].clone()).collect();
    assert!(sources.contains(&"overload".into()), "{sources:?}");
}

#[tokio::test]
async fn what_is_no_request_is_counted() {
    let webhook = Webhook::start("").await;
    // Plain HTTP, and no word at all.
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b""] {
        let mut stream = Client::default().tcp(webhook.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    webhook.until_refused("tls-handshake", 2).await;
    for (head, status) in [
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (format!("{HEAD}X: {}\r\n\r\n", "x".repeat(20_000)), "HTTP/1.1 431"),
    ] {
        let mut stream = tls(webhook.address, &webhook.certificate).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with(status), "{answer}");
    }
    webhook.until_refused("head", 2).await;
    // A body that ends early, and one that does not come.
    let mut stream = tls(webhook.address, &webhook.certificate).await.unwrap();
    stream.write_all(format!("{HEAD}Content-Length: 1000\r\n\r\nx").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    webhook.until_refused("body-cut", 1).await;
    let mut stalled = tls(webhook.address, &webhook.certificate).await.unwrap();
    stalled.write_all(format!("{HEAD}Content-Length: 1000\r\n\r\nx").as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stalled.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    assert_eq!(webhook.refused("body-timeout"), 1);
    assert!(webhook.decided().is_empty());
}

/// Who has shown a whole head gets no more time by sending it byte by byte.
#[tokio::test]
async fn unfinished_heads_and_handshakes_end() {
    let webhook = Webhook::start("").await;
    let silent = Client::default().tcp(webhook.address).await.unwrap();
    let mut dripping = tls(webhook.address, &webhook.certificate).await.unwrap();
    let mut head = HEAD.bytes().cycle();
    while dripping.write_all(&[head.next().unwrap()]).await.is_ok() && dripping.flush().await.is_ok() {
        if webhook.refused("head-timeout") > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    webhook.until_refused("head-timeout", 1).await;
    webhook.until_refused("handshake-timeout", 1).await;
    drop(silent);
    let answer = webhook.connect().await.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

/// More members and items than etcd stores of two objects: reading them would keep others waiting for nothing.
#[tokio::test]
async fn a_review_of_too_many_values_is_denied_by_its_beginning() {
    let webhook = Webhook::start("admission: {failOpenByDefault: true}").await;
    let with = |items: &str| {
        let review = pod_review(&[SIGNED]);
        // The beginning says what it is about, as an API server's does.
        let request = &review["request"];
        let object = request["object"].to_string().replacen(
            "\"restartPolicy\"",
            &format!("\"x\":[{items}],\"restartPolicy\""),
            1,
        );
        format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":{},"kind":{},
            "namespace":{},"operation":"CREATE","object":{object}}}}}"#,
            request["uid"], request["kind"], request["namespace"]
        )
    };
    let mut connection = webhook.connect().await;
    let long = format!("\"{}\"", ",{[".repeat(2 << 20));
    for (count, item, allowed) in [(3 << 20, "0", false), (100_000, "0", true), (1, &*long, true)] {
        let body = with(&vec![item; count].join(","));
        let answer = connection.send(post("/?timeout=30s", body)).await.unwrap();
        assert_eq!(answer.response()["allowed"], allowed, "{count}");
        if !allowed {
            let message = answer.response()["status"]["message"].to_string();
            assert!(message.contains("the review has more than 3145728 members and items"), "{message}");
        }
    }
}
