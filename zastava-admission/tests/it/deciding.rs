//! Verdicts, failure modes, time and load: what follows for the object.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use zastava_admission::{AdmissionOptions, Enforcement, FailOpen, FailureMode, Reviewer};
use zastava_core::clock::{Clock as _, ManualClock, Timestamp};
use zastava_core::contract::{Decision, PolicyVerdict};
use zastava_core::telemetry::{ADMISSION_CACHE_HITS, ADMISSION_DECISIONS, ADMISSION_IN_FLIGHT, Telemetry};

use super::scanner::{
    BUDGET, FakeScanner, Mood, SIGNED, UNSIGNED, WARNED, decide, options, pinned, pod_review, review,
    reviewer,
};

fn open(name: &str, until: Option<Timestamp>) -> FailOpen {
    FailOpen { name: name.to_owned(), until }
}

fn message(response: &Value) -> &str {
    response["status"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn decision_table_is_total() {
    use PolicyVerdict::{Error, Fail, Pass, Warn};
    let verdicts = [Pass, Warn, Fail, Error];
    let mut rows = 0;
    for (subset, on_errors) in (0..16_u32).flat_map(|subset| [(subset, false), (subset, true)]) {
        let chosen: Vec<_> =
            verdicts.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0).collect();
        let images: Vec<_> = chosen
            .iter()
            .map(|(bit, verdict)| (pinned(&format!("r.example/i{bit}"), 'a'), **verdict))
            .collect();
        let table: Vec<_> = images.iter().map(|(image, verdict)| (image.as_str(), *verdict)).collect();
        let names: Vec<_> = table.iter().map(|(image, _)| *image).collect();
        let has = |verdict| chosen.iter().any(|(_, chosen)| **chosen == verdict);
        for mode in [FailureMode::Closed, FailureMode::Open] {
            for enforcement in [Enforcement::Enforce, Enforcement::Warn, Enforcement::DryRun] {
                let options = options(|options| {
                    options.enforcement = enforcement;
                    options.fail_open_by_default = mode == FailureMode::Open;
                    options.fail_open_on_errors = on_errors;
                });
                let reviewer = Reviewer::new(options, FakeScanner::new(&table), &Telemetry::detached());
                let (reviewed, response) = review(&reviewer, &pod_review(&names)).await;
                let opens = mode == FailureMode::Open && on_errors;
                let denied = has(Fail) || (has(Error) && !opens);
                let opened = has(Error) && !has(Fail) && opens;
                let would_deny = denied && enforcement != Enforcement::Enforce;
                let row = format!("{chosen:?} {mode:?} {enforcement:?}");
                let decision = reviewed.decision();
                let expected = if denied && !would_deny { Decision::Deny } else { Decision::Allow };
                assert_eq!(decision.decision, expected, "{row}");
                assert_eq!(decision.images.len(), names.len(), "{row}");
                let warnings = response["warnings"].as_array().map_or(0, Vec::len);
                let others = usize::from(opened) + usize::from(denied && enforcement == Enforcement::Warn);
                assert_eq!(warnings, usize::from(has(Warn)) + others, "{row}");
                for (key, holds) in [("failOpen", opened), ("wouldDeny", would_deny)] {
                    assert_eq!(decision.annotations.contains_key(key), holds, "{row} {key}");
                    assert_eq!(response["auditAnnotations"].get(key).is_some(), holds, "{row} {key}");
                }
                assert_eq!(response.get("status").is_some(), denied && !would_deny, "{row}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 192);
}

#[tokio::test]
async fn every_kind_of_silence_is_no_verdict() {
    let body = serde_json::to_vec(&pod_review(&[SIGNED])).unwrap();
    for (mood, expected) in
        [(Mood::Refuses, "scanner answered 503"), (Mood::Hangs, "no verdict within 40 ms")]
    {
        for fail_open in [false, true] {
            let scanner = FakeScanner::demo();
            scanner.mood(mood);
            let options = options(|options| options.fail_open_by_default = fail_open);
            let reviewer = Reviewer::new(options, scanner, &Telemetry::detached());
            let reviewed = reviewer.review(&body, Duration::from_millis(40)).await.unwrap();
            let decision = reviewed.decision();
            assert_eq!(decision.decision == Decision::Allow, fail_open, "{mood:?}");
            assert_eq!(decision.annotations["source"], if fail_open { "fail-open" } else { "fail-closed" });
            assert_eq!(decision.images[0].policy_verdict, PolicyVerdict::Error);
            assert_eq!(decision.images[0].reasons, [expected]);
            assert_eq!(decision.ttl_seconds, 0);
        }
    }
}

/// Its author can cause it. An unsigned image next to a monstrous label must not pass because the namespace
/// fails open.
#[tokio::test]
async fn a_question_that_scanner_will_not_take_is_denied_even_where_the_namespace_fails_open() {
    let body = serde_json::to_vec(&pod_review(&[UNSIGNED])).unwrap();
    for status in [400, 413, 422] {
        let scanner = FakeScanner::demo();
        scanner.mood(Mood::Rejects(status));
        let options = options(|options| options.fail_open_by_default = true);
        let reviewer = Reviewer::new(options, scanner, &Telemetry::detached());
        let reviewed = reviewer.review(&body, Duration::from_secs(5)).await.unwrap();
        let decision = reviewed.decision();
        assert_eq!(decision.decision, Decision::Deny, "{status}");
        assert_eq!(decision.annotations["rule"], "unanswerable");
    }
}

#[tokio::test(start_paused = true)]
async fn question_gets_the_reviews_budget_and_no_more() {
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Hangs);
    let reviewer = reviewer(&scanner);
    let started = tokio::time::Instant::now();
    let (_, response) = review(&reviewer, &pod_review(&[SIGNED])).await;
    assert_eq!(started.elapsed(), BUDGET);
    assert!(message(&response).contains("no verdict within 5000 ms"));
    assert!(message(&response).contains("namespace shop fails closed"));
}

#[tokio::test]
async fn fail_open_ends_by_itself() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let until = clock.now().saturating_add(Duration::from_secs(60));
    let scanner = FakeScanner::demo();
    scanner.mood(Mood::Refuses);
    let options = options(|options| options.fail_open_namespaces = vec![open("shop", Some(until))]);
    let reviewer = Reviewer::new(options, scanner, &Telemetry::detached()).with_clock(clock.clone());
    let (_, response) = review(&reviewer, &pod_review(&[UNSIGNED])).await;
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("namespace shop fails open"), "{warning}");
    assert!(response["auditAnnotations"]["failOpen"].as_str().unwrap().contains("scanner answered 503"));
    clock.advance(Duration::from_secs(59));
    assert_eq!(decide(&reviewer, &pod_review(&[UNSIGNED])).await, Decision::Allow);
    clock.advance(Duration::from_secs(1));
    assert_eq!(decide(&reviewer, &pod_review(&[UNSIGNED])).await, Decision::Deny);
}

#[test]
fn namespaces_are_closed_unless_named() {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let (past, future) = (Some(now), Some(now.saturating_add(Duration::from_secs(1))));
    let options = |by_default| {
        options(|options: &mut AdmissionOptions| {
            options.fail_open_by_default = by_default;
            options.fail_open_namespaces =
                vec![open("open", None), open("soon-over", future), open("over", past), open("both", None)];
            options.fail_closed_namespaces = vec!["closed".to_owned(), "both".to_owned()];
        })
    };
    for (namespace, listed, by_default) in [
        ("open", FailureMode::Open, FailureMode::Open),
        ("soon-over", FailureMode::Open, FailureMode::Open),
        ("over", FailureMode::Closed, FailureMode::Open),
        ("closed", FailureMode::Closed, FailureMode::Closed),
        ("both", FailureMode::Closed, FailureMode::Closed),
        ("unlisted", FailureMode::Closed, FailureMode::Open),
        ("", FailureMode::Closed, FailureMode::Open),
    ] {
        assert_eq!(options(false).failure_mode(namespace, now), listed, "{namespace}");
        assert_eq!(options(true).failure_mode(namespace, now), by_default, "{namespace}");
    }
}

#[tokio::test]
async fn verdicts_are_remembered_as_long_as_they_hold() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let scanner = FakeScanner::demo();
    scanner.change(|answer| answer.ttl_seconds = Some(100));
    let telemetry = Telemetry::detached();
    let reviewer =
        Reviewer::new(AdmissionOptions::default(), scanner.clone(), &telemetry).with_clock(clock.clone());
    let hits = || telemetry.counter(ADMISSION_CACHE_HITS).get(&[]);
    for (after, image, ttl, requests, cache_hits) in [
        (0, SIGNED, 100, 1, 0),
        (99, SIGNED, 1, 1, 1),
        (1, SIGNED, 100, 2, 1),
        (0, UNSIGNED, 30, 3, 1),
        (29, UNSIGNED, 1, 3, 2),
        (1, UNSIGNED, 30, 4, 2),
    ] {
        clock.advance(Duration::from_secs(after));
        let (reviewed, _) = review(&reviewer, &pod_review(&[image])).await;
        assert_eq!(reviewed.decision().ttl_seconds, ttl);
        assert_eq!((scanner.requests().len(), hits()), (requests, cache_hits));
    }
}

#[tokio::test]
async fn only_what_is_missing_is_asked() {
    let scanner = FakeScanner::demo();
    let reviewer = reviewer(&scanner);
    decide(&reviewer, &pod_review(&[SIGNED])).await;
    let (reviewed, _) = review(&reviewer, &pod_review(&[SIGNED, WARNED])).await;
    assert_eq!(reviewed.decision().annotations["source"], "backend");
    assert_eq!(scanner.requests()[1].images, [WARNED]);
    let (reviewed, _) = review(&reviewer, &pod_review(&[SIGNED, WARNED])).await;
    assert_eq!(reviewed.decision().annotations["source"], "cache");
}

#[tokio::test]
async fn errors_are_never_remembered() {
    let scanner = FakeScanner::new(&[(SIGNED, PolicyVerdict::Error)]);
    let reviewer = reviewer(&scanner);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
    scanner.mood(Mood::Refuses);
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Deny);
    scanner.mood(Mood::Answers);
    scanner.change(|answer| answer.results = FakeScanner::demo_results());
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow);
}

#[tokio::test]
async fn answer_may_be_keyed_by_the_bare_digest() {
    let digest = SIGNED.split_once('@').unwrap().1;
    let scanner = FakeScanner::new(&[(digest, PolicyVerdict::Pass)]);
    assert_eq!(decide(&reviewer(&scanner), &pod_review(&[SIGNED])).await, Decision::Allow);
}

#[tokio::test]
async fn tags_are_asked_in_full_or_have_no_verdict() {
    for (written, asked) in [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("registry.local:5000/a/b", "registry.local:5000/a/b:latest"),
    ] {
        let scanner = FakeScanner::new(&[(asked, PolicyVerdict::Pass)]);
        let (reviewed, _) = review(&reviewer(&scanner), &pod_review(&[written])).await;
        assert_eq!(scanner.requests()[0].images, [asked]);
        assert_eq!(reviewed.decision().decision, Decision::Allow);
        assert_eq!(reviewed.decision().images[0].resolved, None);

        let scanner = FakeScanner::demo();
        let options = options(|options| options.resolve_tags = false);
        let reviewer = Reviewer::new(options, scanner.clone(), &Telemetry::detached());
        let (_, response) = review(&reviewer, &pod_review(&[written])).await;
        assert!(message(&response).contains("can move to another image"), "{}", message(&response));
        assert!(message(&response).contains("Name the image by its digest."));
        assert!(scanner.requests().is_empty());
    }
}

#[tokio::test]
async fn overload_is_answered_at_once_and_spares_what_is_known() {
    let scanner = FakeScanner::demo();
    let options = options(|options| options.max_in_flight = 1);
    let telemetry = Telemetry::detached();
    let reviewer = Arc::new(Reviewer::new(options, scanner.clone(), &telemetry));
    decide(&reviewer, &pod_review(&[SIGNED])).await;
    scanner.asked().await;
    scanner.hold();
    let waiting = {
        let reviewer = Arc::clone(&reviewer);
        tokio::spawn(async move { decide(&reviewer, &pod_review(&[WARNED])).await })
    };
    scanner.asked().await;
    assert_eq!(telemetry.gauge(ADMISSION_IN_FLIGHT).get(&[]), 1.0);
    let (reviewed, response) = review(&reviewer, &pod_review(&[UNSIGNED])).await;
    assert_eq!(reviewed.decision().annotations["source"], "overload");
    assert_eq!(response["allowed"], false);
    assert!(message(&response).contains("rule overload"), "{}", message(&response));
    assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow, "known already");
    scanner.release();
    assert_eq!(waiting.await.unwrap(), Decision::Allow);
    assert_eq!(telemetry.gauge(ADMISSION_IN_FLIGHT).get(&[]), 0.0);
    let decisions = telemetry.counter(ADMISSION_DECISIONS);
    assert_eq!((decisions.get(&["Allow", "Allow"]), decisions.get(&["Deny", "Deny"])), (3, 1));
}

#[tokio::test]
async fn abandoned_review_leaves_nothing_behind() {
    let scanner = FakeScanner::demo();
    scanner.hold();
    let telemetry = Telemetry::detached();
    let options = options(|options| options.max_in_flight = 1);
    let reviewer = Reviewer::new(options, scanner.clone(), &telemetry);
    let request = pod_review(&[SIGNED]);
    tokio::select! {
        biased;
        () = async {
            decide(&reviewer, &request).await;
        } => panic!("nobody answered"),
        () = scanner.asked() => {}
    }
    assert_eq!(telemetry.gauge(ADMISSION_IN_FLIGHT).get(&[]), 0.0);
    scanner.release();
    assert_eq!(decide(&reviewer, &request).await, Decision::Allow, "the place is free again");
}

#[tokio::test]
async fn texts_are_bounded_whatever_scanner_says() {
    let images: Vec<_> = (0..40).map(|number| pinned(&format!("r.example/i{number}"), 'a')).collect();
    let names: Vec<_> = images.iter().map(String::as_str).collect();
    for verdict in [PolicyVerdict::Warn, PolicyVerdict::Fail] {
        let table: Vec<_> = names.iter().map(|name| (*name, verdict)).collect();
        let scanner = FakeScanner::new(&table);
        scanner.change(|answer| {
            for result in answer.results.values_mut() {
                result.reasons = vec!["a\nlong \u{202e} reason ".repeat(1000); 100];
                result.metadata.insert("x".to_owned(), "y".repeat(100_000).into());
            }
        });
        let (reviewed, response) = review(&reviewer(&scanner), &pod_review(&names)).await;
        let texts: BTreeSet<&str> =
            response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(texts.iter().all(|text| text.chars().count() <= 256 && !text.contains(['\n', '\u{202e}'])));
        assert!(message(&response).chars().count() <= 1024);
        let end = format!("then try again. Decision {}.", reviewed.decision().admission_id);
        assert!(verdict == PolicyVerdict::Warn || message(&response).ends_with(&end));
        let image = &reviewed.decision().images[0];
        assert!(image.metadata.is_empty() && image.reasons.len() == 8);
        assert!(image.reasons.iter().all(|reason| reason.chars().count() <= 256));
    }
}

#[tokio::test]
async fn every_review_is_timed_by_what_decided_it() {
    let (scanner, telemetry) = (FakeScanner::demo(), Telemetry::detached());
    let options = options(|options| {
        options.fail_open_namespaces = vec![open("open", None)];
        options.max_in_flight = 1;
    });
    let reviewer = Reviewer::new(options, scanner.clone(), &telemetry);
    let pod = super::scanner::pod(&[UNSIGNED]);
    let mut open = pod_review(&[WARNED]);
    open["request"]["namespace"] = "open".into();
    decide(&reviewer, &pod_review(&[SIGNED])).await;
    decide(&reviewer, &pod_review(&[SIGNED])).await;
    decide(&reviewer, &pod_review(&["?"])).await;
    decide(&reviewer, &super::scanner::update("", "Pod", &pod, &pod)).await;
    scanner.mood(Mood::Refuses);
    decide(&reviewer, &pod_review(&[WARNED])).await;
    decide(&reviewer, &open).await;
    let text = telemetry.render();
    for source in ["backend", "cache", "rule", "unchanged", "fail-closed", "fail-open"] {
        let line = format!("zastava_admission_review_seconds_count{{source=\"{source}\"}} 1");
        assert!(text.contains(&line), "{line}\nin\n{text}");
    }
}

/// Letters of other scripts, invisible ones, and those that turn the direction of text.
#[tokio::test]
async fn homographs_are_shown_escaped() {
    for (pointer, written, shown) in [
        (
            "/request/object/spec/containers/0/image",
            "registry.example/\u{430}pi:1",
            "registry.example/\\u{430}pi:1",
        ),
        (
            "/request/object/spec/containers/0/image",
            "registry.example\u{2215}a/b:1",
            "registry.example\\u{2215}a/b:1",
        ),
        (
            "/request/object/spec/containers/0/image",
            "a\u{202e}b\u{200b}c\u{7}",
            "a\\u{202e}b\\u{200b}c\\u{7}",
        ),
        ("/request/kind/kind", "P\u{43e}d", "P\\u{43e}d"),
        ("/request/operation", "CR\u{395}ATE", "CR\\u{395}ATE"),
    ] {
        let mut request = pod_review(&["nginx"]);
        *request.pointer_mut(pointer).unwrap() = written.into();
        let (reviewed, response) = review(&reviewer(&FakeScanner::demo()), &request).await;
        let decision = serde_json::to_string(reviewed.envelope()).unwrap();
        // Debug formatting of an operation doubles the backslash.
        let message = message(&response).replace("\\\\", "\\");
        assert!(message.contains(shown), "{message}");
        assert!(message.is_ascii() && decision.is_ascii(), "{message} {decision}");
    }
}
