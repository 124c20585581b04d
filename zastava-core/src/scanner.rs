//! A client of Scanner over any tower HTTP service.
//!
//! The client sends requests and reads responses. It does not wait, retry or spawn tasks. The service
//! below must bound time and size and attach the token. [`ScannerError`] says what the caller can do.
//!
//! ```
//! use bytes::Bytes;
//! use zastava_core::contract::{PolicyRequest, PolicyVerdict};
//! use zastava_core::http_service::{BoxError, HttpService};
//! use zastava_core::options::BackendOptions;
//! use zastava_core::scanner::{ScannerClient, ScannerError};
//! use zastava_core::telemetry::Telemetry;
//!
//! # async fn run() -> Result<(), ScannerError> {
//! // Any tower service will do. This one is Scanner itself.
//! let http = HttpService::new(tower::service_fn(|_request: http::Request<Bytes>| async {
//!     let body = r#"{"results": {"registry.example/app:1": {"policyVerdict": "pass"}}}"#;
//!     Ok::<_, BoxError>(http::Response::new(Bytes::from(body)))
//! }));
//! let backend = BackendOptions::new("https://scanner.internal".parse().expect("is a URL"));
//! let scanner = ScannerClient::new(http, &backend, &Telemetry::detached());
//!
//! let images = vec!["registry.example/app:1".to_owned()];
//! let verdicts = scanner.policy(&PolicyRequest { images, ..PolicyRequest::default() }).await?;
//! let result = verdicts.result("registry.example/app:1", None).expect("Scanner knows the image");
//! assert_eq!(result.policy_verdict, Some(PolicyVerdict::Pass));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run()).unwrap();
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tower::{Service as _, ServiceExt as _};

use crate::clock::Timestamp;
use crate::contract::{EventsAccepted, PolicyRequest, PolicyResponse, ProblemDetails};
use crate::http_service::{BoxError, HttpService};
use crate::json;
use crate::no_token::NoToken;
use crate::options::BackendOptions;
use crate::telemetry::{BACKEND_LATENCY, Histogram, Telemetry};

/// The length of Scanner's own text in an error.
const DETAIL_LENGTH_MAX: usize = 300;

/// Sends event batches and policy requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ScannerClient {
    http: HttpService,
    events_url: http::Uri,
    policy_url: http::Uri,
    latency: Histogram,
}

impl ScannerClient {
    /// A client that sends through `http`.
    #[must_use]
    pub fn new(http: HttpService, options: &BackendOptions, telemetry: &Telemetry) -> Self {
        Self {
            http,
            events_url: options.events_url(),
            policy_url: options.policy_url(),
            latency: telemetry.histogram(BACKEND_LATENCY),
        }
    }

    /// Sends a batch made by [`encode_batch`](crate::contract::encode_batch).
    ///
    /// # Errors
    /// See [`ScannerError`].
    pub async fn send_events(&self, batch: Bytes) -> Result<EventsAccepted, ScannerError> {
        let answer = self.post("events", &self.events_url, batch).await?;
        read_json(&answer)
    }

    /// Requests a verdict on each image.
    ///
    /// # Errors
    /// See [`ScannerError`].
    pub async fn policy(&self, request: &PolicyRequest) -> Result<PolicyResponse, ScannerError> {
        let body = serde_json::to_vec(request).map_err(ScannerError::malformed)?;
        let answer = self.post("policy", &self.policy_url, body.into()).await?;
        read_json(&answer)
    }

    async fn post(&self, endpoint: &str, url: &http::Uri, body: Bytes) -> Result<Bytes, ScannerError> {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, application/problem+json")
            .body(body)
            .map_err(|error| ScannerError::Unreachable(error.into()))?;
        let mut timed = Timed { latency: &self.latency, endpoint, started: Instant::now(), status: None };
        let mut http = self.http.clone();
        let answer = async { http.ready().await?.call(request).await }.await;
        let answer = answer.map_err(ScannerError::unanswered);
        timed.status = Some(match &answer {
            Ok(answer) => answer.status().as_str().to_owned(),
            Err(ScannerError::NoToken(_)) => "no-token".to_owned(),
            Err(_) => "unreachable".to_owned(),
        });
        drop(timed);
        let (parts, body) = answer?.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        Err(ScannerError::refused(endpoint, url, parts.status, &parts.headers, &body))
    }
}

/// Times a request, also one that its caller gives up.
struct Timed<'c> {
    latency: &'c Histogram,
    endpoint: &'c str,
    started: Instant,
    status: Option<String>,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let status = self.status.as_deref().unwrap_or("given-up");
        self.latency.observe_ms(&[self.endpoint, status], self.started.elapsed());
    }
}

fn read_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ScannerError> {
    json::from_slice(body).map_err(ScannerError::malformed)
}

/// Why there is no usable response from Scanner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScannerError {
    /// Scanner answered with an error status.
    #[error("scanner answered {status}{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Scanner's explanation, shortened and escaped, after `: `. For a route that is not there, the URL
        /// and the settings that make it come first. Otherwise empty.
        detail: String,
        /// The wait that Scanner asks for.
        retry_after: Option<Duration>,
    },
    /// Scanner answered with success, but the body cannot be read.
    #[error("scanner's answer is malformed")]
    Malformed(#[source] BoxError),
    /// There was no response: connection, TLS or time-out.
    #[error("scanner cannot be reached")]
    Unreachable(#[source] BoxError),
    /// Scanner was not asked, since Authority gave no token to ask with. The cause is what Authority or
    /// the way there said.
    #[error("no token from authority, so scanner was not asked")]
    NoToken(#[source] BoxError),
}

impl ScannerError {
    /// The parser's own error would quote the answer, and an answer may repeat the token.
    fn malformed(error: serde_json::Error) -> Self {
        let what = if error.is_data() { "JSON of another shape" } else { "no JSON" };
        Self::Malformed(format!("{what}, at line {} column {}", error.line(), error.column()).into())
    }

    /// The error of the service below.
    fn unanswered(error: BoxError) -> Self {
        match error.downcast::<NoToken>() {
            Ok(no_token) => Self::NoToken(no_token.0),
            Err(error) => Self::Unreachable(error),
        }
    }

    fn refused(
        endpoint: &str,
        url: &http::Uri,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let problem: ProblemDetails = json::from_slice(body).unwrap_or_default();
        let words = problem.detail.or(problem.title).unwrap_or_default();
        let words: String = words.chars().take(DETAIL_LENGTH_MAX).flat_map(char::escape_debug).collect();
        // There is another server at that address, or Scanner has the route elsewhere.
        let place = match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                format!(" at {url}; check backend.baseAddress and backend.{endpoint}Path")
            }
            _ => String::new(),
        };
        let detail = if words.is_empty() { place } else { format!("{place}: {words}") };
        Self::Refused { status, detail, retry_after: retry_after(headers, Timestamp::now()) }
    }

    /// The HTTP status, if Scanner refused the request.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The wait that Scanner asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether Scanner will never accept the batch. Find the faulty event and set it aside.
    #[must_use]
    pub fn is_rejected_content(&self) -> bool {
        matches!(self.status(), Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY))
    }

    /// Whether the batch is too large. Halve it.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.status() == Some(StatusCode::PAYLOAD_TOO_LARGE)
    }
}

/// Reads `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Timestamp::parse_http_date(text).map(|date| date.saturating_since(now)))
}
