//! A Scanner whose answers a test gives.

use std::collections::VecDeque;

use bytes::Bytes;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::BackendOptions;
use zastava_core::telemetry::Telemetry;

use super::*;
use crate::workload::tests::workload;

const SIGNED: &str =
    r#"{"signed": true, "hasSbomReferrers": false, "rekor": {"uuid": "u", "verified": true}}"#;

/// What it answers next, and what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Scanner says this of the image.
    fn says(&self, ttl: u64, result: &str) {
        let image = image();
        let body = format!(r#"{{"ttlSeconds": {ttl}, "results": {{"{image}": {result}}}}}"#);
        self.answers.lock().expect("not poisoned").push_back((200, body));
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("not poisoned").len()
    }

    fn postures(&self, fallback_ttl: Duration) -> Postures {
        let script = self.clone();
        let http = HttpService::new(tower::service_fn(move |request: http::Request<Bytes>| {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            script.asked.lock().expect("not poisoned").push(body);
            let answer = script.answers.lock().expect("not poisoned").pop_front();
            async move {
                // Others ask meanwhile.
                tokio::task::yield_now().await;
                let (status, body) = answer.ok_or("the connection is refused")?;
                let answer = http::Response::builder().status(status).body(Bytes::from(body));
                Ok::<_, BoxError>(answer?)
            }
        }));
        let backend = BackendOptions::new("https://scanner.internal".parse().expect("is a URL"));
        let scanner = ScannerClient::new(http, &backend, &Telemetry::detached());
        Postures::new(scanner, &PostureOptions { is_enabled: true, fallback_ttl })
    }
}

fn image() -> String {
    format!("registry.internal/app@sha256:{}", "1".repeat(64))
}

fn of_image(image: &str) -> Workload {
    let mut workload = workload("a", 7);
    workload.description.image_ref = Some(image.to_owned());
    workload.description.namespace = Some("payments".to_owned());
    workload
}

async fn known(postures: &Postures, image: &str) -> Known {
    postures.look_up(&of_image(image)).expect("is wanted").await
}

fn signed() -> Posture {
    let attestation = Some(Attestation { uuid: Some("u".to_owned()), verified: Some(true) });
    Posture { image_signed: Some(true), sbom_referrer: Some("missing".to_owned()), attestation }
}

#[tokio::test]
async fn one_answer_serves_all_containers_of_an_image() {
    let script = Script::default();
    script.says(300, SIGNED);
    let postures = script.postures(Duration::ZERO);
    let both = [0, 1].map(|_| postures.look_up(&of_image(&image())).expect("is wanted"));
    for answer in both {
        assert_eq!(answer.await, Known::Now(signed()));
    }
    assert_eq!(known(&postures, &image()).await, Known::Now(signed()));
    assert_eq!(script.asked(), 1);
    let request: PolicyRequest =
        serde_json::from_str(&script.asked.lock().expect("not poisoned")[0]).expect("is a request");
    assert_eq!((request.namespace.as_deref(), request.images), (Some("payments"), vec![image()]));
}

#[tokio::test]
async fn an_old_answer_serves_while_scanner_does_not_answer_and_says_so() {
    let script = Script::default();
    script.says(0, SIGNED);
    let postures = script.postures(Duration::from_secs(300));
    assert_eq!(known(&postures, &image()).await, Known::Now(signed()));
    let asker = postures.0.as_ref().expect("is enabled");
    asker.lock().expire();
    let Known::Earlier(posture, reason) = known(&postures, &image()).await else {
        panic!("is an old answer")
    };
    assert_eq!(posture, signed());
    assert!(reason.contains("cannot be reached"), "{reason}");
    // Scanner is left alone for a while.
    assert!(matches!(known(&postures, &image()).await, Known::Earlier(..)));
    assert_eq!(script.asked(), 2);
    let other = format!("registry.internal/other@sha256:{}", "2".repeat(64));
    assert_eq!(known(&postures, &other).await, Known::Nothing(reason));
}

#[tokio::test]
async fn what_waits_for_other_questions_is_not_asked_after_they_failed() {
    let script = Script::default();
    let postures = script.postures(Duration::ZERO);
    let images = (0..5 * QUESTIONS_MAX).map(|n| format!("registry.internal/app@sha256:{n:064x}"));
    let answers = images.map(|image| postures.look_up(&of_image(&image)).expect("is wanted"));
    for answer in futures_util::future::join_all(answers).await {
        assert!(matches!(answer, Known::Nothing(_)), "{answer:?}");
    }
    assert_eq!(script.asked(), QUESTIONS_MAX);
}

#[tokio::test]
async fn what_is_not_known_is_not_made_up() {
    let script = Script::default();
    script.says(300, "{}");
    let postures = script.postures(Duration::ZERO);
    assert_eq!(known(&postures, &image()).await, Known::Now(Posture::default()));
    assert!(matches!(known(&postures, "registry.internal/app:1").await, Known::Nothing(_)));
    assert!(postures.look_up(&workload("a", 7)).is_none());
    let other = format!("registry.internal/other@sha256:{}", "2".repeat(64));
    script.says(300, SIGNED);
    let Known::Nothing(reason) = known(&postures, &other).await else { panic!("names another image") };
    assert!(reason.contains("does not name"), "{reason}");
    assert_eq!(script.asked(), 2);
}

#[test]
fn answers_count_as_long_as_scanner_says_within_bounds() {
    let of = |ttl_seconds, expires_at_utc| {
        time_to_live(&PolicyResponse { ttl_seconds, expires_at_utc, ..PolicyResponse::default() })
    };
    assert_eq!((of(None, None), of(Some(60), None)), (TTL_DEFAULT, Duration::from_secs(60)));
    assert_eq!((of(Some(0), None), of(Some(u64::MAX), None)), (TTL_MIN, TTL_MAX));
    assert_eq!(of(Some(60), Some(Timestamp::UNIX_EPOCH)), TTL_MIN);
}
