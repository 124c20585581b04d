//! Nobody who merely reaches the port keeps others from being served. Peers are hosts of the loopback network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zastava_core::contract::Decision;

use super::scanner::{SIGNED, UNSIGNED, WARNED, pinned, pod_review};
use super::web::{Client, Connection, post};
use super::webhook::Webhook;

impl Webhook {
    async fn connect_as(&self, client: &Client) -> Connection {
        client.open(self.address, &self.certificate).await.unwrap()
    }

    /// A connection that declares a body, sends a part of it, and then nothing.
    async fn stall(&self, client: &Client, declared: usize, sent: usize) -> TlsStream<TcpStream> {
        let mut stream = client.tls(self.address, &self.certificate).await.unwrap();
        let head = format!(
            "POST /validate?timeout=30s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {declared}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; sent]).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }
}

/// A review of a Pod that is grown by an annotation.
fn large_review(image: &str, bytes: usize) -> String {
    let mut review = pod_review(&[image]);
    review["request"]["object"]["metadata"]["annotations"] = json!({"filler": "x".repeat(bytes)});
    review.to_string()
}

#[tokio::test]
async fn stalled_bodies_of_one_peer_leave_room_for_others() {
    let webhook = Webhook::start("limits: {maxBodyBytes: 1MiB, maxBodiesBytes: 1MiB}").await;
    let (hoarder, other) = (Client::host(2), Client::host(3));
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(webhook.stall(&hoarder, 1 << 20, 300 << 10).await);
    }
    let mut connection = webhook.connect_as(&other).await;
    let answer = connection.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true, "a small review needs no room");
    let answer = connection.send(post("/?timeout=30s", large_review(SIGNED, 900 << 10))).await.unwrap();
    assert_eq!(answer.response()["allowed"], true, "a large one gets that of the hoarder");
    assert_eq!(webhook.decided(), [Decision::Allow; 2]);
    drop(stalled);
}

#[tokio::test]
async fn connections_that_wait_for_their_peer_give_way() {
    let webhook = Webhook::start("limits: {maxConnections: 8}").await;
    let (hoarder, other) = (Client::host(2), Client::host(3));
    let mut kept = webhook.connect_as(&other).await;
    assert_eq!(kept.review("/", &pod_review(&[SIGNED])).await.unwrap().response()["allowed"], true);
    let (mut silent, mut idle, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..12 {
        silent.push(hoarder.tcp(webhook.address).await.unwrap());
        idle.push(hoarder.tls(webhook.address, &webhook.certificate).await);
        stalled.push(webhook.stall(&hoarder, 1000, 1).await);
    }
    // What others have in use stays, and they get new connections.
    assert_eq!(kept.review("/", &pod_review(&[UNSIGNED])).await.unwrap().response()["allowed"], false);
    for image in [SIGNED, UNSIGNED, WARNED] {
        let answer = webhook.connect_as(&other).await.review("/", &pod_review(&[image])).await.unwrap();
        assert_eq!(answer.response()["allowed"], image != UNSIGNED);
    }
    // So does the peer itself.
    let answer = webhook.connect_as(&hoarder).await.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true);
    assert!(webhook.refused("gave-way") > 0);
}

/// All that a peer may have is in the webhook's hands, so that none gives way: others still find a place.
#[tokio::test]
async fn reviews_in_progress_of_one_peer_do_not_take_every_place() {
    let webhook = Webhook::start("limits: {maxConnections: 5}").await;
    let (busy, other) = (Client::host(2), Client::host(3));
    assert_eq!(
        webhook.connect_as(&other).await.review("/", &pod_review(&[SIGNED])).await.unwrap().response()["allowed"],
        true
    );
    webhook.scanner.asked().await;
    webhook.scanner.hold();
    let mut waiting = Vec::new();
    for digit in ['4', '5', '6', '7'] {
        let mut connection = webhook.connect_as(&busy).await;
        let review = pod_review(&[&pinned("registry.sandbox.local/demo/other", digit)]);
        waiting.push(tokio::spawn(async move { connection.review("/?timeout=30s", &review).await }));
        webhook.scanner.asked().await;
    }
    let refused = busy.open(webhook.address, &webhook.certificate).await;
    assert!(refused.is_err(), "four of five are the most that a peer has");
    assert_eq!(webhook.refused("connections"), 1);
    let answer = webhook.connect_as(&other).await.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true, "known already");
    webhook.scanner.release();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().response()["allowed"], false);
    }
}

#[tokio::test]
async fn reviews_that_wait_for_scanner_hold_no_bodies() {
    let webhook = Webhook::start("limits: {maxBodyBytes: 1MiB, maxBodiesBytes: 1MiB}").await;
    let mut connection = webhook.connect().await;
    connection.review("/", &pod_review(&[SIGNED])).await.unwrap();
    webhook.scanner.asked().await;
    webhook.scanner.hold();
    let mut waiting = Vec::new();
    // A sixth would not be asked about: Scanner would be taken for dead.
    for digit in ['4', '5', '6', '7', '8'] {
        let mut connection = webhook.connect().await;
        let body = large_review(&pinned("registry.sandbox.local/demo/other", digit), 900 << 10);
        waiting.push(tokio::spawn(async move { connection.send(post("/?timeout=30s", body)).await }));
        webhook.scanner.asked().await;
    }
    for body in [pod_review(&[SIGNED]).to_string(), large_review(SIGNED, 900 << 10)] {
        let answer = connection.send(post("/?timeout=30s", body)).await.unwrap();
        assert_eq!(answer.response()["allowed"], true, "known already");
    }
    assert_eq!(webhook.refused("no-room"), 0);
    webhook.scanner.release();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().response()["allowed"], false);
    }
}

/// A review that takes long to read: its members are many, and in no order.
fn laborious_review() -> String {
    let members: Vec<_> =
        (0..120_000_u32).map(|n| format!("\"{:x}\":0", n.wrapping_mul(2_654_435_761))).collect();
    let members = format!("\"nodeSelector\":{{{}}},\"restartPolicy\"", members.join(","));
    pod_review(&[SIGNED]).to_string().replacen("\"restartPolicy\"", &members, 1)
}

/// Two hosts keep the threads busy that read long reviews. A third one does not wait for all that is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn long_reviews_of_some_peers_do_not_keep_those_of_others_waiting() {
    let webhook = Webhook::start("").await;
    let body = laborious_review();
    assert!(body.len() > 1 << 20);
    let (answered, mut hostile) = (Arc::new(AtomicUsize::new(0)), Vec::new());
    for host in [2, 3] {
        for _ in 0..6 {
            let mut connection = webhook.connect_as(&Client::host(host)).await;
            let (body, answered) = (body.clone(), Arc::clone(&answered));
            hostile.push(tokio::spawn(async move {
                let answer = connection.send(post("/?timeout=30s", body)).await.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
                answer.response()["allowed"] == true
            }));
        }
    }
    // The first ones are read, and all have come or are coming.
    while answered.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut connection = webhook.connect_as(&Client::host(4)).await;
    let answer = connection.send(post("/?timeout=30s", large_review(SIGNED, 900 << 10))).await.unwrap();
    let before = answered.load(Ordering::SeqCst);
    assert_eq!(answer.response()["allowed"], true);
    assert!(before <= 8, "{before} of 12 were answered before");
    for answer in hostile {
        assert!(answer.await.unwrap(), "each is still judged");
    }
}
