//! Every cell of the decision table: what the backend does, what the namespace does without a verdict, what is remembered,
//! and whether it is a dry run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;
use zastava_admission::{FailOpen, Reviewer};
use zastava_core::clock::{ManualClock, Timestamp};
use zastava_core::contract::Decision;
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::BackendOptions;
use zastava_core::scanner::ScannerClient;
use zastava_core::telemetry::{ADMISSION_DECISIONS, Telemetry};

use super::scanner::{SIGNED, options, pod_review, review};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Passes,
    Denies,
    /// Answers without the image.
    LeavesOut,
    /// Answers with a list where the contract has an object.
    Malformed,
    /// Will not take the question.
    Rejects,
    Fails,
    Hangs,
    /// Does not take the connection.
    Refuses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    /// A `pass` that holds for long.
    Fresh,
    /// A `pass` whose time is nearly up.
    Ending,
    Nothing,
}

const BACKENDS: [Backend; 8] = [
    Backend::Passes,
    Backend::Denies,
    Backend::LeavesOut,
    Backend::Malformed,
    Backend::Rejects,
    Backend::Fails,
    Backend::Hangs,
    Backend::Refuses,
];
/// The third is in no list.
const NAMESPACES: [&str; 3] = ["closed", "open", "unlisted"];
const REMEMBERED: [Remembered; 3] = [Remembered::Fresh, Remembered::Ending, Remembered::Nothing];

impl Backend {
    async fn answer(self) -> Result<Response<Bytes>, BoxError> {
        let of = |status: StatusCode, body: serde_json::Value| {
            let answer =
                Response::builder().status(status).header(header::CONTENT_TYPE, "application/problem+json");
            Ok(answer.body(Bytes::from(body.to_string()))?)
        };
        let verdict = |verdict: &str| json!({"ttlSeconds": 300, "results": {SIGNED: {"policyVerdict": verdict, "signed": true}}});
        match self {
            Self::Passes => of(StatusCode::OK, verdict("pass")),
            Self::Denies => of(StatusCode::OK, verdict("fail")),
            Self::LeavesOut => of(StatusCode::OK, json!({"ttlSeconds": 300, "results": {}})),
            Self::Malformed => {
                of(StatusCode::OK, json!([300, null, "r1", {SIGNED: {"policyVerdict": "pass"}}]))
            }
            Self::Rejects => of(
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({"type": "https://stellaops.org/problems/validation", "title": "validation", "status": 422}),
            ),
            Self::Fails => of(StatusCode::SERVICE_UNAVAILABLE, json!({})),
            Self::Hangs => std::future::pending().await,
            Self::Refuses => Err("connection refused".into()),
        }
    }

    /// What is decided when the backend is asked, and by which rule; `None` where the namespace's failure mode decides.
    fn decides(self) -> Option<Decision> {
        match self {
            Self::Passes => Some(Decision::Allow),
            Self::Denies | Self::LeavesOut | Self::Malformed | Self::Rejects => Some(Decision::Deny),
            Self::Fails | Self::Hangs | Self::Refuses => None,
        }
    }
}

struct Cell {
    reviewer: Reviewer,
    clock: Arc<ManualClock>,
    telemetry: Telemetry,
    asked: Arc<AtomicUsize>,
}

impl Cell {
    /// A reviewer of which the first question is answered by the first backend, and every other by the second.
    fn new(first: Backend, then: Backend) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let http = HttpService::new(tower::service_fn(move |_: http::Request<Bytes>| {
            let backend = if count.fetch_add(1, Ordering::Relaxed) == 0 { first } else { then };
            backend.answer()
        }));
        let backend = BackendOptions::new("https://scanner.example".parse().unwrap());
        let telemetry = Telemetry::detached();
        let options = options(|options| {
            options.fail_closed_namespaces = vec!["closed".to_owned()];
            options.fail_open_namespaces = vec![FailOpen { name: "open".to_owned(), until: None }];
        });
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let source = ScannerClient::new(http, &backend, &telemetry);
        let reviewer = Reviewer::new(options, source, &telemetry).with_clock(clock.clone());
        Self { reviewer, clock, telemetry, asked }
    }
}

/// A `pass` that is remembered serves whatever the backend does. Without one the backend decides if it answers, and the
/// namespace's failure mode if it does not. A dry run is decided like any other.
#[tokio::test(start_paused = true)]
async fn every_cell_has_its_decision() {
    let mut cells = 0;
    for backend in BACKENDS {
        for namespace in NAMESPACES {
            for remembered in REMEMBERED {
                for dry_run in [false, true] {
                    check(backend, namespace, remembered, dry_run).await;
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 144);
}

async fn check(backend: Backend, namespace: &str, remembered: Remembered, dry_run: bool) {
    let row = format!("{backend:?}, {namespace}, {remembered:?}, dry run {dry_run}");
    let is_remembered = remembered != Remembered::Nothing;
    let cell = Cell::new(if is_remembered { Backend::Passes } else { backend }, backend);
    let mut question = pod_review(&[SIGNED]);
    question["request"]["namespace"] = namespace.into();
    question["request"]["dryRun"] = dry_run.into();
    if is_remembered {
        review(&cell.reviewer, &question).await;
    }
    if remembered == Remembered::Ending {
        cell.clock.advance(Duration::from_secs(290));
    }
    let before = |decision: &str| cell.telemetry.counter(ADMISSION_DECISIONS).get(&[decision, decision]);
    let (allowed, denied) = (before("Allow"), before("Deny"));
    let (reviewed, response) = review(&cell.reviewer, &question).await;

    let by_mode = !is_remembered && backend.decides().is_none();
    let opened = by_mode && namespace == "open";
    let expected = match (is_remembered, backend.decides()) {
        (true, _) => Decision::Allow,
        (false, Some(decision)) => decision,
        (false, None) if opened => Decision::Allow,
        (false, None) => Decision::Deny,
    };
    let decision = reviewed.decision();
    assert_eq!(decision.decision, expected, "{row}: {response}");
    // A decision that only the failure mode allows is told four times: user, audit log, decision line, counter.
    assert_eq!(response["warnings"].to_string().contains("fails open"), opened, "{row}: {response}");
    assert_eq!(response["auditAnnotations"].get("failOpen").is_some(), opened, "{row}");
    assert_eq!(decision.annotations.contains_key("failOpen"), opened, "{row}");
    assert_eq!(decision.annotations["source"] == "fail-open", opened, "{row}");
    let is_allow = expected == Decision::Allow;
    assert_eq!(
        (before("Allow") - allowed, before("Deny") - denied),
        (is_allow.into(), (!is_allow).into()),
        "{row}"
    );
    assert_eq!(decision.annotations.contains_key("dryRun"), dry_run, "{row}");
    // What is nearly over is asked about again, while nobody waits for it.
    let asked = match remembered {
        Remembered::Ending => 2,
        Remembered::Fresh | Remembered::Nothing => 1,
    };
    while cell.asked.load(Ordering::Relaxed) < asked {
        tokio::task::yield_now().await;
    }
    assert_eq!(cell.asked.load(Ordering::Relaxed), asked, "{row}");
}
