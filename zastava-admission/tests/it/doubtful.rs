//! Answers of Scanner that are not what the contract says: no verdict, and never remembered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use zastava_admission::{AdmissionOptions, Reviewer};
use zastava_core::contract::Decision;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::BackendOptions;
use zastava_core::scanner::ScannerClient;
use zastava_core::telemetry::Telemetry;

use super::scanner::{SIGNED, decide, options, pod_review, review};

/// The digest of `SIGNED`, and a reference beside it.
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "r.example/other@sha256:5555555555555555555555555555555555555555555555555555555555555555";

/// Scanner's client over a server that answers with this body, and counts.
#[derive(Clone)]
struct Raw {
    body: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Raw {
    fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: Arc::new(Mutex::new(body.into())), asked: Arc::default() }
    }

    fn reviewer(&self, options: AdmissionOptions) -> Reviewer {
        let raw = self.clone();
        let http = HttpService::new(tower::service_fn(move |_: http::Request<Bytes>| {
            raw.asked.fetch_add(1, Ordering::Relaxed);
            let body = Bytes::from(raw.body.lock().unwrap().clone());
            async { Ok::<_, BoxError>(http::Response::new(body)) }
        }));
        let backend = BackendOptions::new("https://scanner.example".parse().unwrap());
        let source = ScannerClient::new(http, &backend, &Telemetry::detached());
        Reviewer::new(options, source, &Telemetry::detached())
    }
}

/// `{"results": {SIGNED: result}}` with more members.
fn answer(result: &str, more: &str) -> String {
    format!("{{{more}\"results\": {{\"{SIGNED}\": {result}}}}}")
}

/// An answer that is believed, for comparison.
fn good() -> String {
    answer(r#"{"policyVerdict": "pass", "signed": true}"#, "\"ttlSeconds\": 300, ")
}

/// Answers, and what is wrong with each.
fn doubtful() -> Vec<(String, &'static str)> {
    [whole_answers(), results(), times()].concat()
}

fn whole_answers() -> Vec<(String, &'static str)> {
    let pass = r#"{"policyVerdict": "pass"}"#;
    let fail = r#"{"policyVerdict": "fail"}"#;
    let whole = |text: &str| text.to_owned();
    vec![
        (whole(""), "nothing"),
        (whole("null"), "null"),
        (whole("true"), "a boolean"),
        (whole("\"pass\""), "a text"),
        (whole("[]"), "an empty list"),
        (whole("{}"), "no results"),
        (format!("[300, null, \"r1\", {{\"{SIGNED}\": {pass}}}]"), "a list of the members"),
        (format!("[{}]", good()), "a list of answers"),
        (format!("{} {}", good(), good()), "two answers"),
        (format!("{}x", good()), "something behind it"),
        (good()[..good().len() - 1].to_owned(), "half of it"),
        (format!("\u{feff}{}", good()), "a byte order mark"),
        (whole("<html>pass</html>"), "a page"),
        (
            format!("{{\"results\": [{{\"image\": \"{SIGNED}\", \"policyVerdict\": \"pass\"}}]}}"),
            "results as a list",
        ),
        (format!("{{\"results\": [[\"{SIGNED}\", {pass}]]}}"), "results as pairs"),
        (whole("{\"results\": null}"), "results that are null"),
        (whole("{\"results\": \"pass\"}"), "results as text"),
        (whole("{\"results\": {}}"), "empty results"),
        (whole("{\"policyVerdict\": \"pass\"}"), "a verdict on nothing"),
        (format!("{{\"results\": {{\"{OTHER}\": {pass}}}}}"), "another image's result"),
        (format!("{{\"results\": {{\"{}\": {pass}}}}}", SIGNED.to_uppercase()), "the name in capitals"),
        (format!("{{\"results\": {{\"{SIGNED} \": {pass}}}}}"), "the name with a space"),
        (format!("{{\"results\": {{\"{}\": {pass}}}}}", &DIGEST[7..]), "the digest without its algorithm"),
        (format!("{{\"results\": {{\"{}\": {pass}}}}}", &DIGEST[..70]), "a part of the digest"),
        (format!("{{\"Results\": {{\"{SIGNED}\": {pass}}}}}"), "another member"),
        (
            format!("{{\"results\": {{\"{SIGNED}\": {fail}, \"{SIGNED}\": {pass}}}}}"),
            "two results under one name",
        ),
        (
            format!("{{\"results\": {{\"{SIGNED}\": {pass}, \"{SIGNED}\": {fail}}}}}"),
            "the same in the other order",
        ),
        (
            format!("{{\"results\": {{\"{SIGNED}\": {pass}, \"{DIGEST}\": {fail}}}}}"),
            "another verdict on the digest",
        ),
        (
            format!("{{\"results\": {{\"{SIGNED}\": {fail}, \"{DIGEST}\": {pass}}}}}"),
            "the same in the other order",
        ),
        (format!("{{\"results\": {{\"{SIGNED}\": {pass}}}, \"results\": {{}}}}"), "results twice"),
    ]
}

fn results() -> Vec<(String, &'static str)> {
    let rows = [
        ("null", "a result that is null"),
        ("\"pass\"", "a result as text"),
        ("true", "a result as a boolean"),
        ("{}", "no verdict"),
        ("[\"pass\"]", "a result as a list"),
        ("[\"pass\", true, true, [], null, {}, []]", "all members of a result as a list"),
        (r#"{"policyVerdict": null}"#, "a verdict that is null"),
        (r#"{"policyVerdict": true}"#, "a verdict as a boolean"),
        (r#"{"policyVerdict": 0}"#, "a verdict as a number"),
        (r#"{"policyVerdict": ["pass"]}"#, "a verdict in a list"),
        (r#"{"policyVerdict": {"pass": true}}"#, "a verdict as an object"),
        (r#"{"policyVerdict": ""}"#, "an empty verdict"),
        (r#"{"policyVerdict": "passed"}"#, "another word"),
        (r#"{"policyVerdict": "pass "}"#, "a word with a space"),
        (r#"{"policyVerdict": "error"}"#, "an error"),
        (r#"{"policyverdict": "pass"}"#, "another member's name"),
        (r#"{"policyVerdict": "fail", "policyVerdict": "pass"}"#, "two verdicts"),
        (r#"{"policyVerdict": "pass", "signed": "yes"}"#, "a boolean as text"),
        (r#"{"policyVerdict": "pass", "reasons": "none"}"#, "reasons as text"),
    ];
    rows.map(|(result, what)| (answer(result, ""), what)).into()
}

fn times() -> Vec<(String, &'static str)> {
    let rows = [
        ("\"ttlSeconds\": -1, ", "a negative time to live"),
        ("\"ttlSeconds\": \"300\", ", "a time to live as text"),
        ("\"ttlSeconds\": 1e300, ", "a time to live beyond reason"),
        ("\"ttlSeconds\": 300, \"ttlSeconds\": 3, ", "two times to live"),
        ("\"expiresAtUtc\": \"2020-01-01T00:00:00Z\", ", "an answer that is over"),
        ("\"expiresAtUtc\": \"2020-01-01T00:00:00Z\", \"ttlSeconds\": 300, ", "over by one of the two"),
        ("\"expiresAtUtc\": \"soon\", ", "an end that is no time"),
        ("\"expiresAtUtc\": 4102444800, ", "an end as a number"),
        ("\"policyRevision\": {}, ", "a revision as an object"),
    ];
    rows.map(|(more, what)| (answer(r#"{"policyVerdict": "pass"}"#, more), what)).into()
}

#[tokio::test]
async fn what_is_no_answer_of_the_contract_is_no_verdict_and_is_not_remembered() {
    assert_eq!(
        decide(&Raw::new(good()).reviewer(AdmissionOptions::default()), &pod_review(&[SIGNED])).await,
        Decision::Allow
    );
    let rows = doubtful();
    assert!(rows.len() >= 48, "{}", rows.len());
    for (body, what) in rows {
        let raw = Raw::new(body.clone());
        let reviewer = raw.reviewer(AdmissionOptions::default());
        let (reviewed, _) = review(&reviewer, &pod_review(&[SIGNED])).await;
        assert_eq!(reviewed.decision().decision, Decision::Deny, "{what}: {body}");
        assert_eq!(reviewed.decision().images[0].policy_verdict.name(), "error", "{what}: {body}");
        let before = raw.asked.load(Ordering::Relaxed);
        *raw.body.lock().unwrap() = good().into_bytes();
        assert_eq!(decide(&reviewer, &pod_review(&[SIGNED])).await, Decision::Allow, "{what}: {body}");
        assert!(raw.asked.load(Ordering::Relaxed) > before, "{what} was remembered");
    }
}

/// Somebody has answered, so this is not Scanner's silence. An answer that was over when it came is.
#[tokio::test]
async fn a_doubtful_answer_lets_nothing_bad_in_where_the_namespace_fails_open() {
    let fail = answer(r#"{"policyVerdict": "fail"}"#, "");
    let open = || options(|options| options.fail_open_by_default = true);
    assert_eq!(decide(&Raw::new(fail).reviewer(open()), &pod_review(&[SIGNED])).await, Decision::Deny);
    for (body, what) in doubtful() {
        let (reviewed, _) = review(&Raw::new(body).reviewer(open()), &pod_review(&[SIGNED])).await;
        let decision = reviewed.decision();
        assert_eq!(decision.images[0].policy_verdict.name(), "error", "{what}");
        let is_over = what.contains("that is over") || what.starts_with("over by");
        let expected = if is_over { Decision::Allow } else { Decision::Deny };
        assert_eq!(decision.decision, expected, "{what}");
    }
    let silence = options(|options| {
        options.fail_open_by_default = true;
        options.fail_open_on_errors = true;
    });
    let page = Raw::new("<html>pass</html>").reviewer(silence);
    assert_eq!(decide(&page, &pod_review(&[SIGNED])).await, Decision::Allow);
}
