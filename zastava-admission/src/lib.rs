//! Zastava's admission webhook: asks for a verdict on every image of a pod, and allows or denies.
//!
//! * [`Reviewer`] decides an AdmissionReview from its bytes: the part to embed.
//! * [`PolicySource`] is where verdicts come from: Scanner, or your own.
//! * [`App`] serves a reviewer over HTTPS; the program `zastava-webhook` is [`App`] and
//!   [`WebhookOptions`] and nothing more.
//! * [`Review`] is the reading alone: every image of every kind that holds a pod.
//!
//! What is not understood is denied. What has no verdict is denied too, unless its namespace was
//! named as one that fails open; then a warning, an audit annotation and the decision say so.
//!
//! ```
//! use std::time::Duration;
//!
//! use zastava_admission::{AdmissionOptions, PolicySource, Reviewer, async_trait};
//! use zastava_core::contract::{Decision, ImageResult, PolicyRequest, PolicyResponse, PolicyVerdict};
//! use zastava_core::http_service::BoxError;
//! use zastava_core::telemetry::Telemetry;
//!
//! /// Passes what comes from our own registry.
//! #[derive(Debug)]
//! struct OwnRegistry;
//!
//! #[async_trait]
//! impl PolicySource for OwnRegistry {
//!     async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
//!         let mut answer = PolicyResponse::default();
//!         for image in &request.images {
//!             let own = image.starts_with("registry.example.com/");
//!             let verdict = if own { PolicyVerdict::Pass } else { PolicyVerdict::Fail };
//!             let result = ImageResult { policy_verdict: Some(verdict), ..ImageResult::default() };
//!             answer.results.insert(image.clone(), result);
//!         }
//!         Ok(answer)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), zastava_admission::Error> {
//! let reviewer = Reviewer::new(AdmissionOptions::default(), OwnRegistry, &Telemetry::detached());
//! let body = br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
//!     "uid": "1", "operation": "CREATE", "namespace": "shop", "kind": {"group": "", "kind": "Pod"},
//!     "object": {"spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]}}}}"#;
//! let reviewed = reviewer.review(body, Duration::from_secs(5)).await?;
//! assert_eq!(reviewed.decision.decision.decision, Decision::Deny);
//! # Ok(())
//! # }
//! ```

mod app;
mod cache;
mod error;
mod options;
mod resolve;
mod review;
mod reviewer;
mod server;
mod source;
mod text;
mod verdict;

pub use app::App;
/// The macro that [`PolicySource`] is implemented with.
pub use async_trait::async_trait;
pub use error::Error;
pub use options::{AdmissionOptions, FailOpen, FailureMode, LimitOptions, TlsOptions, WebhookOptions};
pub use review::{ImageField, ImageUse, PodSpec, Review, Subject};
pub use reviewer::{Reviewed, Reviewer};
pub use source::PolicySource;
pub use verdict::Rule;
