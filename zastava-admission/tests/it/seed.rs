//! A cache that begins with verdicts of a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zastava_admission::Reviewer;
use zastava_core::clock::{ManualClock, Timestamp};
use zastava_core::contract::{Decision, PolicyVerdict};
use zastava_core::telemetry::Telemetry;

use super::installation::{Installation, Process};
use super::scanner::{FakeScanner, Mood, SIGNED, UNSIGNED, WARNED, decide, options, pod_review};

const NOW: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW + seconds)
}

/// A line about these images in the namespace and with the labels of the tests' Pods.
fn line(images: &[(&str, &str)], ends: i64, revision: &str) -> Value {
    let results =
        images.iter().map(|(image, verdict)| ((*image).to_owned(), json!({"policyVerdict": verdict})));
    json!({
        "request": {
            "namespace": "shop", "labels": {"app": "web"},
            "images": images.iter().map(|(image, _)| *image).collect::<Vec<_>>(),
        },
        "response": {
            "expiresAtUtc": at(ends), "policyRevision": revision, "results": results.collect::<Value>(),
        },
    })
}

/// A reviewer that began with these lines, and a Scanner that does not answer.
fn begin(lines: &[String]) -> (Reviewer, FakeScanner, Arc<ManualClock>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    begin_with(file.path())
}

fn begin_with(path: &Path) -> (Reviewer, FakeScanner, Arc<ManualClock>) {
    let (scanner, clock) = (FakeScanner::demo(), Arc::new(ManualClock::new(at(0))));
    scanner.mood(Mood::Refuses);
    let options = options(|options| options.cache_seed_path = Some(path.to_owned()));
    let reviewer = Reviewer::new(options, scanner.clone(), &Telemetry::detached());
    let reviewer = reviewer.with_clock(Arc::<ManualClock>::clone(&clock) as _);
    reviewer.warm();
    (reviewer, scanner, clock)
}

#[tokio::test]
async fn a_verdict_of_the_file_holds_until_its_own_end() {
    let (reviewer, scanner, clock) =
        begin(&[line(&[(SIGNED, "pass"), (WARNED, "warn")], 60, "r1").to_string()]);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED, WARNED])).await, Decision::Allow);
    // For the namespace and the labels of the question, and for no others.
    let mut elsewhere = pod_review(&[SIGNED]);
    elsewhere["request"]["namespace"] = "other".into();
    assert_eq!(decide(&reviewer, &elsewhere).await, Decision::Deny);
    let mut labelled = pod_review(&[SIGNED]);
    labelled["request"]["object"]["metadata"]["labels"]["app"] = "other".into();
    assert_eq!(decide(&reviewer, &labelled).await, Decision::Deny);
    assert_eq!(scanner.requests().len(), 2);
    clock.advance(Duration::from_secs(60));
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
}

#[tokio::test]
async fn a_verdict_of_the_file_is_kept_no_longer_than_any_other() {
    let lines = [line(&[(SIGNED, "pass")], 86_400, "r1"), line(&[(UNSIGNED, "fail")], 86_400, "r1")];
    let (reviewer, scanner, clock) = begin(&lines.map(|line| line.to_string()));
    assert_eq!(decide(&reviewer, &pod_review(&[UNSIGNED])).await, Decision::Deny);
    assert!(scanner.requests().is_empty());
    clock.advance(Duration::from_secs(30));
    decide(&reviewer, &pod_review(&[UNSIGNED])).await;
    assert_eq!(scanner.requests().len(), 1, "a denial is kept for 30 s");
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
    clock.advance(Duration::from_secs(270));
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
}

#[tokio::test]
async fn an_answer_by_another_policy_ends_the_verdicts_of_the_file() {
    let (reviewer, scanner, _) = begin(&[line(&[(SIGNED, "pass")], 60, "r1").to_string()]);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
    scanner.mood(Mood::Answers);
    scanner.change(|answer| {
        answer.policy_revision = Some("r2".to_owned());
        answer.results.insert(SIGNED.to_owned(), super::scanner::result(PolicyVerdict::Fail));
    });
    assert_eq!(decide(&reviewer, &pod_review(&[WARNED])).await, Decision::Allow);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
}

/// Lines that have no effect, each with what the log says of it.
fn faulty_lines() -> Vec<(String, &'static str)> {
    let good = || line(&[(UNSIGNED, "pass")], 60, "r1");
    let without = |member: &str| {
        let mut line = good();
        line["response"].as_object_mut().unwrap().remove(member);
        line.to_string()
    };
    let with_image = |image: &str| line(&[(image, "pass")], 60, "r1").to_string();
    let mut contradictory = good();
    let digest = UNSIGNED.split_once('@').unwrap().1;
    contradictory["response"]["results"][digest] = json!({"policyVerdict": "fail"});
    let twice = good().to_string().replace("\"results\":{", &format!("\"results\":{{\"{UNSIGNED}\":{{}},"));
    vec![
        ("{".to_owned(), "it is no question with its answer"),
        ("[]".to_owned(), "it is no question with its answer"),
        (r#"{"request": {"images": []}}"#.to_owned(), "it is no question with its answer"),
        (twice, "it is no question with its answer"),
        (without("expiresAtUtc"), "does not say when it ends"),
        (without("policyRevision"), "names no policyRevision"),
        (line(&[(UNSIGNED, "pass")], 60, "r2").to_string(), "another revision of the policy"),
        (with_image("registry.sandbox.local/demo/unsigned:1"), "no complete reference with a digest"),
        (with_image(&UNSIGNED.replace('@', ":1@")), "no complete reference with a digest"),
        (line(&[(UNSIGNED, "error")], 60, "r1").to_string(), "has no verdict on"),
        (without("results"), "has no verdict on"),
        (contradictory.to_string(), "has no verdict on"),
    ]
}

#[tokio::test]
async fn a_line_that_is_no_verdict_has_no_effect_on_the_others() {
    for (faulty, words) in faulty_lines() {
        let lines = [line(&[(SIGNED, "pass")], 60, "r1").to_string(), faulty.clone(), String::new()];
        let (reviewer, scanner, _) = begin(&lines);
        assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow, "{words}");
        assert!(scanner.requests().is_empty(), "{words}");
        assert_eq!(decide(&reviewer, &pod_review(&[UNSIGNED])).await, Decision::Deny, "{faulty}");
        assert_eq!(scanner.requests().len(), 1, "{faulty}");
    }
    // One whose time is over is no fault, and its revision does not count.
    let lines = [line(&[(UNSIGNED, "pass")], 0, "r0"), line(&[(SIGNED, "pass")], 60, "r1")];
    let (reviewer, _, _) = begin(&lines.map(|line| line.to_string()));
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
    assert_eq!(decide(&reviewer, &pod_review(&[UNSIGNED])).await, Decision::Deny);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_no_file() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path(), &directory.path().join("absent"), Path::new("/dev/zero")] {
        let (reviewer, scanner, _) = begin_with(path);
        scanner.mood(Mood::Answers);
        assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_writes_a_line_and_begins_with_it() {
    let first = Installation::start(&[]).await;
    let (own, generated) = ("app=web", "pod-template-hash=5f");
    let seed = ["cache-seed", "--namespace", "shop", "--label", own, "--label", generated, SIGNED];
    let (status, written, err) = first.run(&seed, "").await;
    assert!(!written.contains("pod-template-hash"), "a review asks without it: {written}");
    assert_eq!((status, err.as_str(), written.lines().count()), (Some(0), "", 1), "{written}");
    let (status, _, err) = first.run(&["cache-seed", "--namespace", "shop", "nginx:1"], "").await;
    assert!(status == Some(2) && err.contains("it has no digest"), "{err}");
    let undecided =
        format!("{{reference: '{UNSIGNED}', verdict: error}}, {{reference: '{SIGNED}', verdict: pass}}");
    let undecided = Installation::start_judging(&undecided, &[]).await;
    let (status, out, err) =
        undecided.run(&["cache-seed", "--namespace", "shop", SIGNED, UNSIGNED], "").await;
    assert_eq!((status, out.as_str()), (Some(1), ""), "a line that would have no effect");
    assert!(err.contains(&format!("no verdict on {UNSIGNED}")), "{err}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seed.jsonl");
    std::fs::write(&path, format!("{written}\nnothing\n{written}")).unwrap();
    let setting = format!("--set=zastava.webhook.admission.cacheSeedPath={}", path.display());
    let mut second = Installation::start(&[&setting]).await;
    second.sandbox.scanner_offline().await;
    assert_eq!(second.review(SIGNED).await["allowed"], true);
    let decision = second.webhook.decision().await.decision;
    assert_eq!(decision.annotations["source"], "cache");

    let configuration = first.sandbox.write_configuration("acme").unwrap();
    let listen =
        ["--set=zastava.webhook.listen=127.0.0.1:0", "--set=zastava.webhook.health.listen=127.0.0.1:0"];
    let mut third = Process::start(&configuration, &[&listen[..], &[&setting]].concat());
    let faulty = third.said("a line of the cache's seed has no effect").await;
    assert_eq!(faulty["line"], 3);
    assert!(faulty["reason"].as_str().unwrap().contains("it is no question with its answer"), "{faulty}");
    let begun = third.said("the cache begins with verdicts of a file").await;
    assert_eq!((&begun["verdicts"], &begun["ended"], &begun["faulty"]), (&json!(2), &json!(0), &json!(1)));
}
