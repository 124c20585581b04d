//! Decides an AdmissionReview in process, without TLS, Authority or Scanner.
//!
//! Reads the review from standard input and prints the decision and the answer for the API server. Empty input stands for a small
//! review.
//!
//! ```sh
//! cargo run --example decide_review < review.json
//! ```

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use zastava_admission::{AdmissionOptions, PolicySource, Reviewer, async_trait};
use zastava_core::contract::{ImageResult, PolicyRequest, PolicyResponse, PolicyVerdict};
use zastava_core::http_service::BoxError;
use zastava_core::telemetry::Telemetry;

/// A policy source that passes only images pinned by digest.
#[derive(Debug)]
struct OnlyPinned;

#[async_trait]
impl PolicySource for OnlyPinned {
    async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
        let mut answer = PolicyResponse::default();
        for image in &request.images {
            let pinned = image.contains("@sha256:");
            let result = ImageResult {
                policy_verdict: Some(if pinned { PolicyVerdict::Pass } else { PolicyVerdict::Fail }),
                reasons: if pinned { Vec::new() } else { vec!["not pinned by digest".to_owned()] },
                ..ImageResult::default()
            };
            answer.results.insert(image.clone(), result);
        }
        Ok(answer)
    }
}

const SMALL: &str = r#"{
    "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
    "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop", "operation": "CREATE",
        "object": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]}}
    }
}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut review = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_to_string(&mut review)?;
    }
    if review.trim().is_empty() {
        review.push_str(SMALL);
    }
    let reviewer = Reviewer::new(AdmissionOptions::default(), OnlyPinned, &Telemetry::detached());
    let reviewed = reviewer.review(review.as_bytes(), Duration::from_secs(5)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{:#}", serde_json::to_value(reviewed.envelope())?)?;
    writeln!(out, "{}", String::from_utf8_lossy(reviewed.response()))?;
    Ok(())
}
