//! How connections end: a client that keeps sending loses no review.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::scanner::{SIGNED, pod_review};
use super::web::Connection;
use super::webhook::Webhook;

/// Between two requests of a client. Its connection is open meanwhile, and is not in use.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Clients {
    /// Whether the endpoint has gone, so that no client dials any more.
    is_gone: AtomicBool,
    answered: AtomicUsize,
    lost: AtomicUsize,
}

impl Clients {
    /// Sends until its connection is closed by an answer and the endpoint is gone.
    async fn run(&self, webhook: &Webhook) {
        let review = pod_review(&[SIGNED]);
        while !self.is_gone.load(Ordering::Relaxed) {
            let Ok(mut connection) = Connection::open(webhook.address, &webhook.certificate).await else {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            loop {
                tokio::time::sleep(PAUSE).await;
                match connection.review("/", &review).await {
                    Ok(answer) => {
                        assert_eq!(answer.response()["allowed"], true);
                        self.answered.fetch_add(1, Ordering::Relaxed);
                        if answer.closes() {
                            break;
                        }
                    }
                    Err(_) => {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
    }
}

/// The endpoint lingers, so that clients dial until after the drain. At its end some have dialled and not sent yet.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_while_the_webhook_drains_lose_no_review() {
    let webhook = Arc::new(Webhook::start("drainSeconds: 3").await);
    let clients = Arc::new(Clients::default());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (clients, webhook) = (Arc::clone(&clients), Arc::clone(&webhook));
            tokio::spawn(async move { clients.run(&webhook).await })
        })
        .collect();
    while clients.answered.load(Ordering::Relaxed) < 100 {
        tokio::time::sleep(PAUSE).await;
    }
    webhook.shutdown.begin();
    // Beyond the drain, and with time left for the last requests.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    clients.is_gone.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(clients.lost.load(Ordering::Relaxed), 0, "of {:?}", clients.answered);
    let webhook = Arc::into_inner(webhook).expect("no client is left");
    webhook.running.await.unwrap();
}

/// It was idle for the whole drain. Its request is answered, and the answer is its end.
#[tokio::test]
async fn a_connection_that_was_not_told_is_not_closed_with_the_drain() {
    let webhook = Webhook::start("drainSeconds: 3").await;
    let mut idle = webhook.connect().await;
    assert!(!idle.review("/", &pod_review(&[SIGNED])).await.unwrap().closes());
    webhook.shutdown.begin();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let answer = idle.review("/", &pod_review(&[SIGNED])).await.unwrap();
    assert!(answer.closes() && answer.response()["allowed"] == true);
    // Nobody is left who could have to be told.
    webhook.running.await.unwrap();
}

#[tokio::test]
async fn an_old_connection_ends_with_its_next_answer() {
    for (age, is_old) in [("24h", false), ("1ms", true)] {
        let webhook = Webhook::start(&format!("limits: {{maxConnectionAge: {age}}}")).await;
        let mut connection = webhook.connect().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answer = connection.review("/", &pod_review(&[SIGNED])).await.unwrap();
        assert_eq!((answer.closes(), &answer.response()["allowed"]), (is_old, &true.into()), "{age}");
    }
}
