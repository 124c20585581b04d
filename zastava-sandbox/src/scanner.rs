//! Scanner: batches of events, policy questions, and the controls of the sandbox.

mod access;
mod control;
mod events;
mod policy;

use std::ops::ControlFlow;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;

use crate::answer::{
    Answer, Body, answer, has_content_type, method_not_allowed, not_found, problem, read_body, set_nonce,
};
use crate::fault::Route;
use crate::platform::Platform;
use crate::server::Handler;

/// The largest request, as servers in the field have it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Scanner's endpoints.
#[derive(Debug)]
pub(crate) struct Scanner(pub(crate) Arc<Platform>);

impl Handler for Scanner {
    async fn handle(
        &self,
        request: Request<Incoming>,
        _client: Option<CertificateDer<'static>>,
    ) -> Option<Answer> {
        match request.uri().path() {
            "/api/v1/scanner/runtime/events" | "/api/v1/runtime/events" | "/runtime/events" => {
                self.post(request, Route::Events).await
            }
            "/api/v1/scanner/policy/runtime" | "/api/v1/policy/runtime" | "/policy/runtime" => {
                self.post(request, Route::Policy).await
            }
            "/healthz/live" | "/healthz/ready" if request.method() == Method::GET => {
                Some(answer(StatusCode::OK, "text/plain", "ok\n"))
            }
            path if path.starts_with("/sandbox/") => control::handle(&self.0, request).await,
            _ => Some(not_found()),
        }
    }
}

impl Scanner {
    async fn post(&self, request: Request<Incoming>, route: Route) -> Option<Answer> {
        if request.method() != Method::POST {
            return Some(method_not_allowed("POST"));
        }
        let (parts, body) = request.into_parts();
        let body = read_body(body, BODY_BYTES_MAX).await?;
        if let ControlFlow::Break(fault) = self.0.fault(route).await {
            return fault;
        }
        let now = self.0.now();
        let mut answer = match access::authorize(&self.0, &parts, now) {
            Err(denied) => denied.answer(),
            Ok(()) => match (body, route) {
                _ if parts.headers.contains_key(http::header::CONTENT_ENCODING) => {
                    unsupported("the body must not be encoded")
                }
                _ if !has_content_type(&parts.headers, "application/json") => {
                    unsupported("the body must be application/json")
                }
                (Body::TooLarge, _) => events::too_large(&self.0, "the body is larger than 1 MiB"),
                (Body::Whole(body), Route::Policy) => policy::answer_question(&self.0, &body, now),
                (Body::Whole(body), _) => events::take_batch(&self.0, &body),
            },
        };
        set_nonce(&mut answer, &self.0.scanner_verifier.nonce(now));
        Some(answer)
    }
}

fn unsupported(detail: &str) -> Answer {
    problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
}

/// The request holds something that will never be taken.
fn invalid(detail: &str) -> Answer {
    problem(StatusCode::BAD_REQUEST, "validation", detail)
}

/// Foreign text in a problem: short and escaped.
fn shown(text: &str) -> String {
    const LENGTH_MAX: usize = 120;
    text.chars().take(LENGTH_MAX).flat_map(char::escape_debug).collect()
}
