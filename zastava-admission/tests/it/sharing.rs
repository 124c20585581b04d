//! Reviews that want the same verdict at once, and a policy source that has stopped to answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use zastava_admission::{AdmissionOptions, Reviewed, Reviewer};
use zastava_core::clock::{ManualClock, Timestamp};
use zastava_core::contract::{Decision, PolicyVerdict};
use zastava_core::telemetry::{ADMISSION_BREAKER_OPEN, Telemetry};

use super::scanner::{
    BUDGET, FakeScanner, Mood, SIGNED, UNSIGNED, WARNED, create, decide, options, pinned, pod, pod_review,
    review,
};

/// A reviewer that many reviews use at once.
fn shared(scanner: &FakeScanner, max_in_flight: usize) -> Arc<Reviewer> {
    let options = options(|options| options.max_in_flight = max_in_flight);
    Arc::new(Reviewer::new(options, scanner.clone(), &Telemetry::detached()))
}

/// Begins a review of a Pod with these images that can wait for `budget`.
fn begin(reviewer: &Arc<Reviewer>, images: &[&str], budget: Duration) -> JoinHandle<Reviewed> {
    let (reviewer, body) = (Arc::clone(reviewer), serde_json::to_vec(&pod_review(images)).unwrap());
    tokio::spawn(async move { reviewer.review(&body, budget).await.unwrap() })
}

async fn ended(review: JoinHandle<Reviewed>) -> Decision {
    review.await.unwrap().decision().decision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reviews_of_one_image_are_one_call_and_no_denial() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    // Less than there are reviews, so that reviews that wait for a call of another are no load.
    let reviewer = shared(&scanner, 8);
    let reviews: Vec<_> = (0..1000).map(|_| begin(&reviewer, &[SIGNED], BUDGET)).collect();
    scanner.asked().await;
    scanner.release();
    for review in reviews {
        assert_eq!(ended(review).await, Decision::Allow);
    }
    assert_eq!(scanner.requests().len(), 1);
}

#[tokio::test]
async fn a_tag_is_shared_too_but_not_remembered() {
    let scanner = FakeScanner::new(&[("docker.io/library/nginx:1", PolicyVerdict::Pass)]);
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let reviews: Vec<_> = (0..20).map(|_| begin(&reviewer, &["nginx:1"], BUDGET)).collect();
    scanner.asked().await;
    scanner.release();
    for review in reviews {
        assert_eq!(ended(review).await, Decision::Allow);
    }
    assert_eq!(scanner.requests().len(), 1);
    assert_eq!(decide(&reviewer, &pod_review(&["nginx:1"])).await, Decision::Allow);
    assert_eq!(scanner.requests().len(), 2);
}

#[tokio::test]
async fn a_call_goes_on_when_the_review_that_began_it_has_given_up() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let first = begin(&reviewer, &[SIGNED], BUDGET);
    scanner.asked().await;
    let followers: Vec<_> = (0..20).map(|_| begin(&reviewer, &[SIGNED], BUDGET)).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    scanner.release();
    for review in followers {
        assert_eq!(ended(review).await, Decision::Allow);
    }
    assert_eq!(scanner.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_for_everybody_is_remembered() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let late = begin(&reviewer, &[SIGNED], Duration::from_millis(100)).await.unwrap();
    assert_eq!(late.decision().decision, Decision::Deny);
    assert_eq!(late.decision().annotations["source"], "fail-closed");
    let text = late.decision().images[0].reasons.join(" ");
    assert!(text.contains("no verdict within 100 ms"), "{text}");
    // Nobody waits any more.
    scanner.release();
    let mut reviewed = review(&reviewer, &pod_review(&[SIGNED])).await.0;
    while reviewed.decision().annotations["source"] != "cache" {
        reviewed = review(&reviewer, &pod_review(&[SIGNED])).await.0;
    }
    assert_eq!(scanner.requests().len(), 1);
}

#[tokio::test]
async fn only_the_images_that_nobody_asks_about_are_asked() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let first = begin(&reviewer, &[SIGNED, WARNED], BUDGET);
    scanner.asked().await;
    let second = begin(&reviewer, &[WARNED, UNSIGNED], BUDGET);
    scanner.asked().await;
    scanner.release();
    assert_eq!((ended(first).await, ended(second).await), (Decision::Allow, Decision::Deny));
    let asked: Vec<_> = scanner.requests().into_iter().map(|request| request.images).collect();
    assert_eq!(asked, [vec![SIGNED, WARNED], vec![UNSIGNED]]);
}

#[tokio::test]
async fn what_may_have_another_verdict_is_another_call() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let mut elsewhere = pod_review(&[SIGNED]);
    elsewhere["request"]["namespace"] = "other".into();
    let mut labelled = pod(&[SIGNED]);
    labelled["metadata"]["labels"]["tier"] = "back".into();
    let reviews = [pod_review(&[SIGNED]), elsewhere, create("", "Pod", &labelled)].map(|asked| {
        let (reviewer, body) = (Arc::clone(&reviewer), serde_json::to_vec(&asked).unwrap());
        tokio::spawn(async move { reviewer.review(&body, BUDGET).await.unwrap() })
    });
    for _ in 0..3 {
        scanner.asked().await;
    }
    scanner.release();
    for review in reviews {
        assert_eq!(ended(review).await, Decision::Allow);
    }
}

#[tokio::test]
async fn a_call_that_fails_answers_those_who_wait_and_nobody_after_them() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    scanner.hold();
    let reviewer = shared(&scanner, 8);
    let reviews: Vec<_> = (0..3).map(|_| begin(&reviewer, &[SIGNED], BUDGET)).collect();
    scanner.asked().await;
    // All three have boarded: tasks of this runtime run in turn.
    scanner.release();
    for review in reviews {
        assert_eq!(ended(review).await, Decision::Deny);
    }
    assert_eq!(scanner.requests().len(), 1);
    scanner.mood(Mood::Answers);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
}

#[tokio::test]
async fn a_call_that_panics_denies_and_stands_in_nobodys_way() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Panics);
    let reviewer = shared(&scanner, 8);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
    scanner.mood(Mood::Answers);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
}

/// A reviewer whose clock the test moves, and whose Scanner says how long its answers hold.
fn timed(scanner: &FakeScanner, ttl: u64) -> (Arc<Reviewer>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    scanner.change(|answer| answer.ttl_seconds = Some(ttl));
    let reviewer = Reviewer::new(AdmissionOptions::default(), scanner.clone(), &Telemetry::detached());
    (Arc::new(reviewer.with_clock(clock.clone())), clock)
}

async fn source(reviewer: &Reviewer, image: &str) -> String {
    review(reviewer, &pod_review(&[image])).await.0.decision().annotations["source"].clone()
}

#[tokio::test]
async fn a_verdict_that_is_still_used_is_asked_for_anew_before_it_ends() {
    let scanner = FakeScanner::demo();
    let (reviewer, clock) = timed(&scanner, 100);
    assert_eq!(source(&reviewer, SIGNED).await, "backend");
    scanner.asked().await;
    clock.advance(Duration::from_secs(91));
    scanner.hold();
    for _ in 0..20 {
        assert_eq!(source(&reviewer, SIGNED).await, "cache", "nobody waits for the new one");
    }
    scanner.asked().await;
    scanner.release();
    // It is remembered a moment later.
    while review(&reviewer, &pod_review(&[SIGNED])).await.0.decision().ttl_seconds != 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scanner.requests().len(), 2);
    clock.advance(Duration::from_secs(50));
    assert_eq!(source(&reviewer, SIGNED).await, "cache");
    clock.advance(Duration::from_secs(60));
    assert_eq!(source(&reviewer, SIGNED).await, "backend", "nobody used it in the last tenth of its time");
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_verdict_until_its_end() {
    let scanner = FakeScanner::demo();
    let (reviewer, clock) = timed(&scanner, 100);
    assert_eq!(source(&reviewer, SIGNED).await, "backend");
    scanner.asked().await;
    scanner.mood(Mood::Refuses);
    clock.advance(Duration::from_secs(95));
    assert_eq!(source(&reviewer, SIGNED).await, "cache");
    scanner.asked().await;
    assert_eq!(source(&reviewer, SIGNED).await, "cache");
    clock.advance(Duration::from_secs(5));
    assert_eq!(source(&reviewer, SIGNED).await, "fail-closed");
}

#[tokio::test]
async fn another_revision_of_the_policy_ends_what_was_remembered() {
    let scanner = FakeScanner::demo();
    scanner.change(|answer| answer.policy_revision = Some("r1".to_owned()));
    let reviewer = shared(&scanner, 8);
    for (image, expected) in [(SIGNED, "backend"), (SIGNED, "cache"), (WARNED, "backend")] {
        assert_eq!(source(&reviewer, image).await, expected);
    }
    scanner.change(|answer| answer.policy_revision = Some("r2".to_owned()));
    assert_eq!(source(&reviewer, SIGNED).await, "cache", "nobody knows of the new one yet");
    // The answer on another image tells.
    assert_eq!(source(&reviewer, UNSIGNED).await, "backend");
    for image in [SIGNED, WARNED] {
        assert_eq!([source(&reviewer, image).await, source(&reviewer, image).await], ["backend", "cache"]);
    }
}

/// The image with that number, which nobody has asked about.
fn image(number: u32) -> String {
    format!("r.example/app@sha256:{number:064x}")
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_only_probed_until_it_answers() {
    let scanner = FakeScanner::new(&[]);
    scanner.mood(Mood::Refuses);
    let telemetry = Telemetry::detached();
    let reviewer = Reviewer::new(AdmissionOptions::default(), scanner.clone(), &telemetry);
    let is_open = || telemetry.gauge(ADMISSION_BREAKER_OPEN).get(&[]) == 1.0;
    for number in 0..5 {
        assert!(!is_open());
        decide(&reviewer, &pod_review(&[&image(number)])).await;
    }
    assert!(is_open());
    for number in 5..50 {
        let (reviewed, response) = review(&reviewer, &pod_review(&[&image(number)])).await;
        assert_eq!(reviewed.decision().annotations["source"], "fail-closed");
        let text = response["status"]["message"].as_str().unwrap();
        assert!(text.contains("has not answered for a while") && text.contains("rule no-verdict"), "{text}");
    }
    assert_eq!(scanner.requests().len(), 5);
    tokio::time::advance(Duration::from_millis(500)).await;
    for number in 50..60 {
        decide(&reviewer, &pod_review(&[&image(number)])).await;
    }
    assert_eq!(scanner.requests().len(), 6, "one is asked in an interval");
    scanner.mood(Mood::Answers);
    tokio::time::advance(Duration::from_millis(500)).await;
    decide(&reviewer, &pod_review(&[&image(60)])).await;
    assert!(!is_open());
    decide(&reviewer, &pod_review(&[&image(61)])).await;
    assert_eq!(scanner.requests().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_only_probed_after_a_second() {
    let scanner = FakeScanner::new(&[]);
    scanner.mood(Mood::Hangs);
    let reviewer = shared(&scanner, 256);
    let waiting: Vec<_> = (0..5).map(|number| begin(&reviewer, &[&image(number)], BUDGET)).collect();
    for _ in 0..5 {
        scanner.asked().await;
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    decide(&reviewer, &pod_review(&[&image(5)])).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for a source that is taken for dead");
    assert_eq!(scanner.requests().len(), 5);
    for review in waiting {
        assert_eq!(ended(review).await, Decision::Deny);
    }
}

/// Whoever names many images of which Scanner knows nothing does not take it from others.
#[tokio::test]
async fn answers_without_a_verdict_and_refused_questions_do_not_open_the_circuit() {
    for mood in [Mood::Evades, Mood::Rejects(400), Mood::Rejects(413), Mood::Rejects(422)] {
        let scanner = FakeScanner::new(&[]);
        scanner.mood(mood);
        let reviewer = shared(&scanner, 8);
        for number in 0..20 {
            let image = pinned("r.example/app", char::from_digit(number % 10, 10).unwrap())
                .replace("/app", &format!("/app{number}"));
            decide(&reviewer, &pod_review(&[&image])).await;
        }
        assert_eq!(scanner.requests().len(), 20, "{mood:?}");
    }
}
