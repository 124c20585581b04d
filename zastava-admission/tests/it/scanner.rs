//! A Scanner inside the test, and reviews to ask it about.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use zastava_admission::{AdmissionOptions, PolicySource, Reviewed, Reviewer, async_trait};
use zastava_core::contract::{Decision, ImageResult, PolicyRequest, PolicyResponse, PolicyVerdict};
use zastava_core::http_service::BoxError;
use zastava_core::scanner::ScannerError;
use zastava_core::telemetry::Telemetry;

pub(crate) const BUDGET: Duration = Duration::from_secs(5);

/// What Scanner does when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Answers,
    Refuses,
    Hangs,
    /// Answers that it will not take the question.
    Rejects(u16),
    /// Answers without any result.
    Evades,
    Panics,
}

/// Answers from a table; any other image fails as not signed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FakeScanner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mood: Mutex<Mood>,
    answer: Mutex<PolicyResponse>,
    requests: Mutex<Vec<PolicyRequest>>,
    /// One permit for every request that came.
    arrived: Semaphore,
    /// One permit for every request that may be answered.
    gate: Semaphore,
}

impl FakeScanner {
    pub(crate) fn new(verdicts: &[(&str, PolicyVerdict)]) -> Self {
        let mut answer = PolicyResponse::default();
        for (image, verdict) in verdicts {
            answer.results.insert((*image).to_owned(), result(*verdict));
        }
        Self(Arc::new(Inner {
            mood: Mutex::new(Mood::Answers),
            answer: Mutex::new(answer),
            requests: Mutex::default(),
            arrived: Semaphore::new(0),
            gate: Semaphore::new(10_000),
        }))
    }

    /// Knows the three images of the sandbox's policy.
    pub(crate) fn demo() -> Self {
        Self::new(&[
            (SIGNED, PolicyVerdict::Pass),
            (UNSIGNED, PolicyVerdict::Fail),
            (WARNED, PolicyVerdict::Warn),
        ])
    }

    pub(crate) fn demo_results() -> BTreeMap<String, ImageResult> {
        Self::demo().0.answer.lock().unwrap().results.clone()
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut PolicyResponse)) {
        change(&mut self.0.answer.lock().unwrap());
    }

    pub(crate) fn requests(&self) -> Vec<PolicyRequest> {
        self.0.requests.lock().unwrap().clone()
    }

    /// Holds every answer back until it is released.
    pub(crate) fn hold(&self) {
        self.0.gate.forget_permits(10_000);
    }

    pub(crate) fn release(&self) {
        self.0.gate.add_permits(10_000);
    }

    pub(crate) async fn asked(&self) {
        self.0.arrived.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl PolicySource for FakeScanner {
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
        self.0.requests.lock().unwrap().push(request.clone());
        self.0.arrived.add_permits(1);
        self.0.gate.acquire().await?.forget();
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Answers => {}
            Mood::Evades => return Ok(PolicyResponse::default()),
            Mood::Refuses => return Err("scanner answered 503".into()),
            Mood::Rejects(status) => {
                let status = StatusCode::from_u16(status)?;
                return Err(ScannerError::Refused { status, detail: String::new(), retry_after: None }.into());
            }
            Mood::Hangs => return std::future::pending().await,
            Mood::Panics => panic!("as it was told"),
        }
        let mut answer = self.0.answer.lock().unwrap().clone();
        for image in &request.images {
            let digest = image.split_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default();
            if !answer.results.contains_key(&digest) {
                answer.results.entry(image.clone()).or_insert_with(|| result(PolicyVerdict::Fail));
            }
        }
        Ok(answer)
    }
}

pub(crate) fn result(verdict: PolicyVerdict) -> ImageResult {
    let reasons: &[&str] = match verdict {
        PolicyVerdict::Pass => &[],
        PolicyVerdict::Warn => &["no SBOM"],
        PolicyVerdict::Fail => &["not signed"],
        PolicyVerdict::Error => &["scan is pending"],
    };
    ImageResult {
        policy_verdict: Some(verdict),
        signed: Some(matches!(verdict, PolicyVerdict::Pass | PolicyVerdict::Warn)),
        reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        ..ImageResult::default()
    }
}

pub(crate) const SIGNED: &str = "registry.sandbox.local/demo/signed@sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const UNSIGNED: &str = "registry.sandbox.local/demo/unsigned@sha256:2222222222222222222222222222222222222222222222222222222222222222";
pub(crate) const WARNED: &str = "registry.sandbox.local/demo/warned@sha256:3333333333333333333333333333333333333333333333333333333333333333";

/// A reference with the digest `dddd…`.
pub(crate) fn pinned(repository: &str, digit: char) -> String {
    format!("{repository}@sha256:{}", digit.to_string().repeat(64))
}

pub(crate) fn options(change: impl FnOnce(&mut AdmissionOptions)) -> AdmissionOptions {
    let mut options = AdmissionOptions::default();
    change(&mut options);
    options
}

pub(crate) fn reviewer(scanner: &FakeScanner) -> Reviewer {
    Reviewer::new(AdmissionOptions::default(), scanner.clone(), &Telemetry::detached())
}

/// Decides the review. Returns the decision, and `response` of the answer.
pub(crate) async fn review(reviewer: &Reviewer, review: &Value) -> (Reviewed, Value) {
    let body = serde_json::to_vec(review).unwrap();
    let reviewed = reviewer.review(&body, BUDGET).await.unwrap();
    let answer: Value = serde_json::from_slice(reviewed.response()).unwrap();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let response = answer["response"].clone();
    assert_eq!(response["uid"], review["request"]["uid"]);
    let decision = reviewed.decision();
    assert_eq!(response["allowed"], decision.decision == Decision::Allow);
    assert_eq!(decision.admission_id, review["request"]["uid"].as_str().unwrap());
    (reviewed, response)
}

pub(crate) async fn decide(by: &Reviewer, what: &Value) -> Decision {
    review(by, what).await.0.decision().decision
}

/// A review of a Pod that runs these images.
pub(crate) fn pod_review(images: &[&str]) -> Value {
    create("", "Pod", &pod(images))
}

pub(crate) fn pod(images: &[&str]) -> Value {
    let containers: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(i, image)| json!({"name": format!("c{i}"), "image": image}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": containers, "restartPolicy": "Always"},
    })
}

pub(crate) fn create(group: &str, kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": "unused"},
            "name": "web", "namespace": "shop", "operation": "CREATE",
            "userInfo": {"username": "admin"}, "options": {"kind": "CreateOptions"}, "dryRun": false,
            "object": object, "oldObject": null,
        },
    })
}

pub(crate) fn update(group: &str, kind: &str, old: &Value, new: &Value) -> Value {
    let mut review = create(group, kind, new);
    review["request"]["operation"] = "UPDATE".into();
    review["request"]["oldObject"] = old.clone();
    review
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
