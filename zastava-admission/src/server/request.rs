//! Answers one HTTP request.
//!
//! Every review gets status 200, denied or not: the API server takes any other status as the webhook's
//! failure. A review that is too large to be read gets its verdict by its beginning. A request that is not
//! a review gets another status and a line of text.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::telemetry::Telemetry;

use super::body::{BodyReader, CompleteBody, ReadBody};
use super::deadline;
use super::refusal::{Reason, Refusals};
use super::room::FREE_BYTES;
use super::slots::Slot;
use super::turns::Turns;
use crate::error::Error;
use crate::options::LimitOptions;
use crate::review::Subject;
use crate::reviewer::Reviewer;
use crate::text::printable;
use crate::verdict::{Rule, Verdict};

type DecisionSink = Box<dyn Fn(&AdmissionDecisionEnvelope) + Send + Sync>;

const TEXT_LENGTH_MAX: usize = 300;
/// Reading a body of up to this size takes less time than handing it to another thread.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Answers `POST /validate` and, for configurations that name no path, `POST /`.
pub(crate) struct Endpoint {
    reviewer: Reviewer,
    bodies: BodyReader,
    turns: Arc<Turns>,
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
        let turns = Arc::default();
        Self { reviewer, bodies, turns, refusals: Arc::new(Refusals::new(telemetry)), decisions }
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
        let at = |elapsed| tokio::time::Instant::from_std(began + elapsed);
        let answer_by = at(deadline::budget(timeout, Duration::ZERO));
        let read = self.bodies.read(body, slot, answer_by, at(timeout)).await.map_err(Rejection::of)?;
        let watch = self.reviewer.start();
        let subject = match read {
            ReadBody::Complete(body) => self.read(body, answer_by, slot).await?,
            ReadBody::Beginning { bytes, why } => self.unread(&bytes, why, slot)?,
        };
        let reviewed =
            self.reviewer.decide(&subject, deadline::budget(timeout, began.elapsed()), watch).await;
        let (response, decision) = reviewed.into_parts();
        (self.decisions)(&decision);
        Ok(response)
    }

    /// Reads a review until `answer_by`. It holds its body no longer: that must not take room while the policy source is asked.
    ///
    /// Other reviews may take the threads that read, and the review itself may take long. A caller that gets no answer in
    /// time would store the object with `failurePolicy: Ignore`.
    async fn read(
        &self,
        body: CompleteBody,
        answer_by: tokio::time::Instant,
        slot: &Slot,
    ) -> Result<Subject, Rejection> {
        if body.bytes.len() <= INLINE_BYTES_MAX {
            return Subject::read(&body.bytes).map_err(|error| Rejection::unread(&error));
        }
        let body = Arc::new(body);
        let read_body = Arc::clone(&body);
        let read = async {
            let turn = self.turns.take(slot.peer(), body.bytes.len()).await;
            let read = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                Subject::read(&read_body.bytes)
            });
            read.await.unwrap_or_else(|panic| Err(Error::MalformedReview(panic.into())))
        };
        match tokio::time::timeout_at(answer_by, read).await {
            Ok(read) => read.map_err(|error| Rejection::unread(&error)),
            Err(_) => self.unread(&body.bytes[..body.bytes.len().min(FREE_BYTES)], Reason::ReadTimeout, slot),
        }
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
            // Its author may have sent the others, too: that is not the policy source's silence.
            Reason::ReadTimeout => {
                Verdict::refused(Rule::Overload, "there is no time to read so large a review now")
            }
            _ => Verdict::refused(Rule::Overload, "there is no memory for so large a review now"),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use zastava_core::contract::{PolicyRequest, PolicyResponse};
    use zastava_core::http_service::BoxError;

    use super::*;
    use crate::options::AdmissionOptions;
    use crate::policy::PolicySource;
    use crate::review::Object;
    use crate::server::peer::Peer;
    use crate::server::slots::Slots;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait::async_trait]
    impl PolicySource for Nobody {
        async fn policy(&self, _: &PolicyRequest) -> Result<PolicyResponse, BoxError> {
            Err("nobody is asked".into())
        }
    }

    /// Other reviews hold the threads that read: the caller gets a denial in time, and not the failure that
    /// `failurePolicy: Ignore` turns into an allowed object.
    #[tokio::test]
    async fn review_that_is_not_read_in_time_is_denied_by_its_beginning() {
        let telemetry = Telemetry::detached();
        let reviewer = Reviewer::new(AdmissionOptions::default(), Nobody, &telemetry);
        let endpoint = Endpoint::new(reviewer, LimitOptions::default(), &telemetry, Box::new(|_| {}));
        let slot = Slots::new(1).take(Peer::of((Ipv4Addr::LOCALHOST, 1).into()), Instant::now()).unwrap();
        let others = [endpoint.turns.take(slot.peer(), 1).await, endpoint.turns.take(slot.peer(), 1).await];
        let review = |operation: &str| {
            let review = format!(
                r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u",
                "kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"{operation}","object":{{"x":"{}",
                "spec":{{"containers":[]}}}}}}}}"#,
                "x".repeat(INLINE_BYTES_MAX)
            );
            CompleteBody::of(review.into_bytes(), &slot)
        };
        let read = async |body| endpoint.read(body, tokio::time::Instant::now(), &slot).await;
        let Object::Refused(verdict) = read(review("CREATE")).await.unwrap().object else {
            panic!("refused")
        };
        assert_eq!((verdict.rule, verdict.level), (Rule::Overload, crate::verdict::Level::Fail));
        assert!(matches!(read(review("DELETE")).await.unwrap().object, Object::NoImages(_)));
        let noise = CompleteBody::of(vec![b' '; INLINE_BYTES_MAX + 1], &slot);
        assert_eq!(read(noise).await.unwrap_err().reason, Reason::ReadTimeout);
        let refused = telemetry.counter(zastava_core::telemetry::ADMISSION_REFUSALS).get(&["read-timeout"]);
        assert_eq!(refused, 2, "the endpoint counts the last one where it answers");
        drop(others);
        let later = tokio::time::Instant::now() + Duration::from_secs(600);
        let subject = endpoint.read(review("CREATE"), later, &slot).await.unwrap();
        assert!(matches!(subject.object, Object::Pod(_)));
    }
}
