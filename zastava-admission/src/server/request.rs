//! Answers one HTTP request.
//!
//! Every review gets status 200, denied or not: the API server takes any other status as the webhook's
//! failure. A request that is not a review gets another status and a line of text.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use zastava_core::contract::AdmissionDecisionEnvelope;

use super::body::BodyReader;
use super::deadline;
use crate::error::Error;
use crate::reviewer::Reviewer;

type DecisionSink = Box<dyn Fn(&AdmissionDecisionEnvelope) + Send + Sync>;

/// Answers `POST /validate` and, for configurations that name no path, `POST /`.
pub(crate) struct Endpoint {
    reviewer: Reviewer,
    bodies: BodyReader,
    decisions: DecisionSink,
}

impl Endpoint {
    pub(crate) fn new(reviewer: Reviewer, body_bytes_max: usize, decisions: DecisionSink) -> Self {
        Self { reviewer, bodies: BodyReader::new(body_bytes_max), decisions }
    }

    /// Answers a caller that has waited since `began`. `last` is asked when the answer is ready: it says
    /// whether the answer is the connection's last.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        began: Instant,
        last: impl Fn() -> bool,
    ) -> Response<Full<Bytes>> {
        let (mut response, close) = match self.review(request, began).await {
            Ok(body) => (json(body), last()),
            // A client that sends anything else does not keep its connection.
            Err(rejection) => (rejection.into_response(), true),
        };
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn review(&self, request: Request<Incoming>, began: Instant) -> Result<Bytes, Rejection> {
        let (parts, body) = request.into_parts();
        if !matches!(parts.uri.path(), "/validate" | "/") {
            return Err(Rejection::of(StatusCode::NOT_FOUND, "send reviews to /validate"));
        }
        if parts.method != Method::POST {
            return Err(Rejection::of(StatusCode::METHOD_NOT_ALLOWED, "send reviews by POST"));
        }
        if !is_json(&parts.headers) {
            return Err(Rejection::of(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send reviews as application/json",
            ));
        }
        let body = self.bodies.read(body).await.map_err(|status| Rejection::of(status, why(status)))?;
        let budget = deadline::budget(parts.uri.query(), began.elapsed());
        let reviewed =
            self.reviewer.review(&body.bytes, budget).await.map_err(|error| Rejection::unread(&error))?;
        let (response, decision) = reviewed.into_parts();
        (self.decisions)(&decision);
        Ok(response)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("reviewer", &self.reviewer).finish_non_exhaustive()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn why(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than limits.maxBodyBytes",
        StatusCode::REQUEST_TIMEOUT => "the body did not arrive in time",
        StatusCode::SERVICE_UNAVAILABLE => "too many bodies are in memory",
        _ => "the body could not be read",
    }
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A status and one line of text.
#[derive(Debug)]
struct Rejection {
    status: StatusCode,
    text: String,
}

impl Rejection {
    fn of(status: StatusCode, text: &str) -> Self {
        Self { status, text: text.to_owned() }
    }

    fn unread(error: &Error) -> Self {
        tracing::warn!(error = error as &dyn std::error::Error, "a review could not be read");
        Self::of(StatusCode::BAD_REQUEST, &error.to_string())
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text + "\n")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
