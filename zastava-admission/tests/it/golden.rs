//! Reviews as an API server sends them, with the answers and the decision lines to the letter.
//!
//! `tests/golden/<name>.review.json` is what came in, `<name>.answer.json` and
//! `<name>.decision.json` what went out. After a change that is meant, run with
//! `ZASTAVA_BLESS=1` and read the difference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use zastava_admission::{AdmissionOptions, Enforcement, FailOpen, Reviewer};
use zastava_core::clock::ManualClock;
use zastava_core::image::Digest;
use zastava_core::telemetry::Telemetry;

use super::scanner::{BUDGET, FakeScanner, Mood, options};

fn file(name: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.{kind}.json"))
}

async fn check(name: &str, options: AdmissionOptions, mood: Mood) {
    let scanner = FakeScanner::demo();
    scanner.mood(mood);
    let clock = Arc::new(ManualClock::new("2026-11-20T10:11:12Z".parse().unwrap()));
    let reviewer = Reviewer::new(options, scanner, &Telemetry::detached())
        .with_clock(clock)
        .with_replica("zastava-webhook-0");
    let review = std::fs::read(file(name, "review")).unwrap();
    let reviewed = reviewer.review(&review, BUDGET).await.unwrap();
    let answer: Value = serde_json::from_slice(reviewed.response()).unwrap();
    let decision = serde_json::to_value(reviewed.envelope()).unwrap();
    for (kind, found) in [("answer", answer), ("decision", decision)] {
        if std::env::var_os("ZASTAVA_BLESS").is_some() {
            std::fs::write(file(name, kind), format!("{found:#}\n")).unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(file(name, kind)).unwrap()).unwrap();
        assert_eq!(found, expected, "{name}.{kind}.json");
    }
    let again = reviewer.review(&review, BUDGET).await.unwrap();
    assert_eq!(again.response(), reviewed.response(), "the same review, the same bytes");
}

#[tokio::test]
async fn answers_are_as_they_were_written_down() {
    let open = || {
        options(|options| {
            options.fail_open_namespaces = vec![FailOpen { name: "shop".to_owned(), until: None }];
        })
    };
    check("pod-signed", AdmissionOptions::default(), Mood::Answers).await;
    check("pod-unsigned", AdmissionOptions::default(), Mood::Answers).await;
    check("deployment-warned", AdmissionOptions::default(), Mood::Answers).await;
    check("cronjob-image-volume", AdmissionOptions::default(), Mood::Answers).await;
    check("pod-ephemeral-container", AdmissionOptions::default(), Mood::Answers).await;
    check("pod-finalizer-removed", AdmissionOptions::default(), Mood::Refuses).await;
    check("pod-deleted", AdmissionOptions::default(), Mood::Refuses).await;
    check("deployment-scaled", AdmissionOptions::default(), Mood::Refuses).await;
    check("service", AdmissionOptions::default(), Mood::Answers).await;
    check("pod-no-verdict-closed", AdmissionOptions::default(), Mood::Refuses).await;
    check("pod-no-verdict-open", open(), Mood::Refuses).await;
    check("pod-not-enforced", options(|options| options.enforcement = Enforcement::Warn), Mood::Answers)
        .await;
}

/// The specs' digests as a tree of them gives, written by another RFC 8785 implementation.
#[test]
fn written_digests_are_those_of_another_implementation() {
    let mut digests = 0;
    for entry in std::fs::read_dir(file("x", "x").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".review.json") else { continue };
        let read =
            |kind| -> Value { serde_json::from_slice(&std::fs::read(file(name, kind)).unwrap()).unwrap() };
        let (review, decision) = (read("review"), read("decision"));
        let Some(written) = decision["decision"]["podSpecDigest"].as_str() else { continue };
        let object = &review["request"]["object"];
        let paths = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"];
        let spec = paths.into_iter().find_map(|path| object.pointer(path)).unwrap();
        let canonical = serde_json_canonicalizer::to_vec(spec).unwrap();
        assert_eq!(written, Digest::of(&canonical).to_string(), "{name}");
        digests += 1;
    }
    assert!(digests >= 9, "{digests}");
}
