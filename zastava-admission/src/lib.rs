//! Decides which images may run in a Kubernetes cluster: a validating admission webhook as a library.
//!
//! A review of a Pod or a workload goes in as bytes. The crate finds every image in it, asks a *policy
//! source* for a verdict on each, and returns the answer for the API server together with a decision for
//! the log. The program `zastava-webhook` of this crate serves that over HTTPS with Scanner as its policy
//! source.
//!
//! # Deciding reviews
//!
//! Implement [`PolicySource`] with your own policy and give it to a [`Reviewer`]. This one passes images
//! from one registry and fails all others:
//!
//! ```
//! use std::time::Duration;
//!
//! use zastava_admission::{AdmissionOptions, PolicySource, Reviewer, async_trait};
//! use zastava_core::contract::{ImageResult, PolicyRequest, PolicyResponse, PolicyVerdict};
//! use zastava_core::http_service::BoxError;
//! use zastava_core::telemetry::Telemetry;
//!
//! #[derive(Debug)]
//! struct OwnRegistry;
//!
//! #[async_trait]
//! impl PolicySource for OwnRegistry {
//!     async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
//!         let mut response = PolicyResponse::default();
//!         for image in &request.images {
//!             let own = image.starts_with("registry.example.com/");
//!             let verdict = if own { PolicyVerdict::Pass } else { PolicyVerdict::Fail };
//!             let result = ImageResult { policy_verdict: Some(verdict), ..ImageResult::default() };
//!             response.results.insert(image.clone(), result);
//!         }
//!         Ok(response)
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
//! assert!(!reviewed.is_allowed());
//! assert_eq!(reviewed.decision().images[0].policy_verdict, PolicyVerdict::Fail);
//! // The answer for the API server, to be sent with status 200.
//! assert!(reviewed.response().starts_with(b"{"));
//! # Ok(())
//! # }
//! ```
//!
//! The reviewer asks once for all images of a review, shares the call with other reviews that want them,
//! and remembers verdicts on digests for as long as the policy source says. It bounds the calls at once, and
//! stops asking a source that does not answer. Without a verdict the request is denied,
//! unless its namespace fails open. Malformed input is always denied. [`AdmissionOptions`] has all
//! settings.
//!
//! # Serving them
//!
//! [`App`] serves a reviewer over HTTPS. It follows a certificate that changes on disk, answers within the
//! API server's own timeout, and finishes reviews in flight at a shutdown. [`App::build`] asks Scanner,
//! [`App::with_source`] your own policy source.
//!
//! ```
//! # use zastava_admission::{PolicySource, async_trait};
//! # use zastava_core::contract::{PolicyRequest, PolicyResponse};
//! # use zastava_core::http_service::BoxError;
//! # #[derive(Debug)]
//! # struct OwnRegistry;
//! # #[async_trait]
//! # impl PolicySource for OwnRegistry {
//! #     async fn policy(&self, _: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
//! #         Ok(PolicyResponse::default())
//! #     }
//! # }
//! use std::path::Path;
//!
//! use zastava_admission::{App, WebhookOptions};
//! use zastava_core::config::Configuration;
//! use zastava_core::program::{Health, Shutdown};
//! use zastava_core::telemetry::Telemetry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let directory = tempfile::tempdir()?;
//! # let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
//! # std::fs::write(directory.path().join("tls.crt"), made.cert.pem())?;
//! # std::fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem())?;
//! # let directory = directory.path().display();
//! let yaml = format!("
//! zastava:
//!   runtime: {{tenant: acme, authority: {{issuer: 'https://authority.example', requireMutualTls: false}}}}
//!   webhook:
//!     listen: 127.0.0.1:0
//!     tls: {{certificatePath: {directory}/tls.crt, privateKeyPath: {directory}/tls.key}}
//!     backend: {{baseAddress: 'https://scanner.example'}}
//! ");
//! let (options, _) = Configuration::from_yaml(&yaml, Path::new("zastava.yaml")).read(WebhookOptions::read)?;
//! let (telemetry, health, shutdown) = (Telemetry::detached(), Health::new(), Shutdown::new());
//! let log = |decision: &_| println!("{decision:?}");
//! let app = App::with_source(options, OwnRegistry, &telemetry, &health, log).await?;
//! println!("listening on {}", app.local_addr());
//! # shutdown.begin();
//! # tokio::time::pause();
//! app.run(shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Reading them only
//!
//! [`Review`] finds the images of every kind that holds a pod, for a decision of your own:
//!
//! ```
//! use zastava_admission::{ImageField, Review, ReviewObject};
//!
//! # fn main() -> Result<(), zastava_admission::Error> {
//! let body = br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
//!     "uid": "1", "operation": "CREATE", "kind": {"group": "batch", "kind": "CronJob"}, "object": {
//!         "spec": {"jobTemplate": {"spec": {"template": {"spec": {
//!             "containers": [{"name": "report", "image": "registry.example.com/report:3"}],
//!             "volumes": [{"name": "model", "image": {"reference": "registry.example.com/model:1"}}]
//!         }}}}}}}}"#;
//! let review = Review::parse(body)?;
//! let ReviewObject::Pod(pod) = review.object() else { panic!("a CronJob holds a pod template") };
//! let images: Vec<_> = pod.images().iter().map(|image| (image.field, &*image.reference)).collect();
//! assert_eq!(images, [
//!     (ImageField::Container, "registry.example.com/report:3"),
//!     (ImageField::Volume, "registry.example.com/model:1"),
//! ]);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! A denial is not an error. [`Reviewer::review`] fails only for a body that is not an AdmissionReview,
//! which cannot be answered; send status 400. Whatever goes wrong on the way to a verdict becomes a
//! decision: the [`Rule`] in its message says what it was. [`App`] fails when it cannot start, with an
//! [`Error`] that names the file or the address.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | none | this crate has no features |
//!
//! # What this crate does not do
//!
//! * It does not verify signatures or scan images. The policy source does.
//! * It does not change objects: a tag stays a tag. It does not see static pods, which the kubelet starts
//!   without asking an API server.
//! * It knows nothing of the node. `stellaops-zastava-observer` reports what runs there.
//! * It is not a general policy engine: it judges images, nothing else of an object.
//!
//! # Stability
//!
//! Before 1.0 a minor version may change the API; the changelog says how. The decision's schema has a
//! version of its own. The oldest supported Rust is 1.95; raising it is a minor change.

mod app;
mod assessment;
mod candidate;
mod circuit;
mod decision;
mod error;
mod judgement;
mod options;
mod policy;
mod resolve;
mod review;
mod reviewer;
mod server;
mod text;
mod verdict;

pub use app::App;
/// The macro that [`PolicySource`] is implemented with.
pub use async_trait::async_trait;
pub use error::Error;
pub use judgement::{Enforcement, FailureMode};
pub use options::{
    AdmissionOptions, FailOpen, LimitOptions, MirrorOptions, NamespaceOptions, RegistryHost, RegistryOptions,
    TlsOptions, WebhookOptions,
};
pub use policy::{PolicySource, policy_labels};
pub use resolve::Registries;
pub use review::{ImageField, ImageUse, PodSpec, Review, ReviewObject, holds_pod};
pub use reviewer::{Reviewed, Reviewer};
pub use server::check_certificate;
pub use verdict::Rule;

/// The example in the README, kept true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
