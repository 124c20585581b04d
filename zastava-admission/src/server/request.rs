//! Answers one HTTP request.
//!
//! Every review gets status 200, denied or not: the API server takes any other status as the webhook's
//! failure. A review that is too large to be read gets its verdict by its beginning. A request that is not
//! a review gets another status and a line of text.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::telemetry::Telemetry;

use super::body::{BodyReader, CompleteBody, ReadBody};
use super::deadline;
use super::refusal::{Reason, Refusals};
use super::slots::Slot;
use crate::error::Error;
use crate::options::LimitOptions;
use crate::review::{Review, Subject};
use crate::reviewer::Reviewer;
use crate::text::printable;
use crate::verdict::{Rule, Verdict};

type DecisionSink = Box<dyn Fn(&AdmissionDecisionEnvelope) + Send + Sync>;

const TEXT_LENGTH_MAX: usize = 300;
/// Reading a body of up to this size takes less time than handing it to another thread.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Larger bodies that are read at once. Reading may take three times the memory of a hostile body.
const LARGE_READS_MAX: usize = 2;

/// Answers `POST /validate` and, for configurations that name no path, `POST /`.
pub(crate) struct Endpoint {
    reviewer: Reviewer,
    bodies: BodyReader,
    large_reads: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    decisions: DecisionSink,
}

impl Endpoint {
    pub(crate) fn new(
        reviewer: Reviewer,
        limits: LimitOptions,
        telemetry: &Telemetry,
        decisions: DecisionSink,
    ) -> Self {
        let bodies = BodyReader::new(limits.body_bytes_max, limits.all_bodies_bytes_max);
        let large_reads = Arc::new(Semaphore::new(LARGE_READS_MAX));
        Self { reviewer, bodies, large_reads, refusals: Arc::new(Refusals::new(telemetry)), decisions }
    }

    pub(super) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Answers a caller that has waited since `began`. `last` is asked when the answer is ready: it says
    /// whether the answer is the connection's last.
    pub(super) async fn respond(
        &self,
        request: Request<Incoming>,
        began: Instant,
        slot: &Slot,
        last: impl Fn() -> bool,
    ) -> Response<Full<Bytes>> {
        let (mut response, close) = match self.review(request, began, slot).await {
            Ok(body) => (json(body), last()),
            // A client that sends anything else does not keep its connection.
            Err(rejection) => {
                self.refusals.add(rejection.reason, Some(slot.peer().address()), &rejection.text);
                (rejection.into_response(), true)
            }
        };
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn review(
        &self,
        request: Request<Incoming>,
        began: Instant,
        slot: &Slot,
    ) -> Result<Bytes, Rejection> {
        let (parts, body) = request.into_parts();
        if !matches!(parts.uri.path(), "/validate" | "/") {
            return Err(Rejection::of(Reason::Path));
        }
        if parts.method != Method::POST {
            return Err(Rejection::of(Reason::Method));
        }
        if !is_json(&parts.headers) {
            return Err(Rejection::of(Reason::ContentType));
        }
        let timeout = deadline::timeout(parts.uri.query());
        let end = tokio::time::Instant::from_std(began + timeout);
        let read = self.bodies.read(body, slot, end).await.map_err(Rejection::of)?;
        let watch = self.reviewer.start();
        let subject = match read {
            ReadBody::Complete(body) => self.read(body).await.map_err(|error| Rejection::unread(&error))?,
            ReadBody::Beginning { bytes, why } => self.unread(&bytes, why, slot)?,
        };
        let reviewed =
            self.reviewer.decide(&subject, deadline::budget(timeout, began.elapsed()), watch).await;
        let (response, decision) = reviewed.into_parts();
        (self.decisions)(&decision);
        Ok(response)
    }

    /// Reads a review. Its body is gone afterwards: it must not take room while the policy source is asked.
    async fn read(&self, body: CompleteBody) -> Result<Subject, Error> {
        let is_large = body.bytes.len() > INLINE_BYTES_MAX;
        let read = move || Review::parse(&body.bytes).map(|review| Subject::of(&review));
        if !is_large {
            return read();
        }
        let permit = Arc::clone(&self.large_reads).acquire_owned().await;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read()
        });
        read.await.unwrap_or_else(|panic| Err(Error::MalformedReview(panic.into())))
    }

    /// The verdict on a review of which only the beginning is there. A status would be no verdict: with
    /// `failurePolicy: Ignore` the API server would store the object.
    fn unread(&self, beginning: &[u8], why: Reason, slot: &Slot) -> Result<Subject, Rejection> {
        let verdict = match why {
            Reason::TooLarge => {
                let bytes_max = self.bodies.bytes_max();
                let reason = format!("the review has more than {bytes_max} bytes (limits.maxBodyBytes)");
                Verdict::refused(Rule::TooLarge, reason)
            }
            _ => Verdict::unknown(Rule::Overload, "there is no memory for so large a review now"),
        };
        let subject = Subject::of_beginning(beginning, verdict).ok_or_else(|| Rejection::of(why))?;
        let uid = subject.head.uid.as_str();
        let detail = format_args!("{}: the review {uid} is decided by its beginning", why.text());
        self.refusals.add(why, Some(slot.peer().address()), &detail);
        Ok(subject)
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

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A status and one line of text.
#[derive(Debug)]
struct Rejection {
    reason: Reason,
    text: String,
}

impl Rejection {
    fn of(reason: Reason) -> Self {
        Self { reason, text: reason.text().to_owned() }
    }

    fn unread(error: &Error) -> Self {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        Self { reason: Reason::NotAReview, text: printable(&causes.join(": "), TEXT_LENGTH_MAX) }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text + "\n")));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.reason == Reason::Method {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
