//! Answers, and the bodies of requests. Both are whole and bounded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde::Serialize;
use zastava_core::contract::ProblemDetails;

pub(crate) type Answer = Response<Full<Bytes>>;

/// A body beyond its bound is read up to this and thrown away: a client that is cut off while it
/// sends may never see the reason.
const DISCARDED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's body.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    TooLarge,
}

/// The whole body, of at most `bytes_max`. `None` if the client disconnects, is too slow or sends too
/// much.
pub(crate) async fn read_body(mut incoming: Incoming, bytes_max: usize) -> Option<Body> {
    let read = async {
        let (mut body, mut length) = (BytesMut::new(), 0_usize);
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.ok()?.into_data() else { continue };
            length = length.saturating_add(data.len());
            if length > DISCARDED_BYTES_MAX {
                return None;
            }
            if length <= bytes_max {
                body.extend_from_slice(&data);
            }
        }
        Some(if length <= bytes_max { Body::Whole(body.freeze()) } else { Body::TooLarge })
    };
    tokio::time::timeout(BODY_TIMEOUT, read).await.ok().flatten()
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // A map with string keys always has a JSON form.
    let body = serde_json::to_vec(value).unwrap_or_default();
    answer(status, "application/json", body)
}

/// A problem document (RFC 9457). `kind` is the last segment of its type.
pub(crate) fn problem(status: StatusCode, kind: &str, detail: &str) -> Answer {
    problem_with(status, kind, detail, serde_json::Map::new())
}

/// A problem document with further members.
pub(crate) fn problem_with(
    status: StatusCode,
    kind: &str,
    detail: &str,
    mut members: serde_json::Map<String, serde_json::Value>,
) -> Answer {
    let problem = ProblemDetails {
        kind: Some(format!("https://stellaops.org/problems/{kind}")),
        title: status.canonical_reason().map(str::to_owned),
        status: Some(status.as_u16()),
        detail: Some(detail.to_owned()),
    };
    if let Ok(serde_json::Value::Object(problem)) = serde_json::to_value(problem) {
        members.extend(problem);
    }
    let body = serde_json::to_vec(&members).unwrap_or_default();
    answer(status, "application/problem+json", body)
}

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) fn not_found() -> Answer {
    problem(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path")
}

pub(crate) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer =
        problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the path takes another method");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Sets a header. A value that is not valid in a header is left out.
pub(crate) fn set_header(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Sets the newest nonce, which every answer to a request with a proof carries (RFC 9449 section 8.2).
/// No cache may keep it.
pub(crate) fn set_nonce(answer: &mut Answer, nonce: &str) {
    set_header(answer, "dpop-nonce", nonce);
    set_header(answer, "cache-control", "no-store");
}

/// Whether the request's content type is `expected`, whatever its parameters.
pub(crate) fn has_content_type(headers: &http::HeaderMap, expected: &str) -> bool {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    found
        .and_then(|found| found.split(';').next())
        .is_some_and(|found| found.trim().eq_ignore_ascii_case(expected))
}
