//! The sandbox's own controls, beside Scanner's routes. They need no token: everybody who reaches
//! the port may use them. So the sandbox listens on loopback by default.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /sandbox/status` | counts, events kept, faults waiting, policy revision |
//! | `GET /sandbox/events` | the newest 1,000 accepted events, oldest first |
//! | `PUT /sandbox/faults` | 204; the list replaces the faults that wait |
//! | `DELETE /sandbox/faults` | 204; no fault waits |
//! | `POST /sandbox/rotate-nonces` | 204; every nonce issued before is void |
//! | `POST /sandbox/authority/offline?seconds=N` | 202; Authority's listener closes, and opens again by itself |
//! | `POST /sandbox/scanner/offline?seconds=N` | the same for Scanner's, with these controls |

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::{invalid, shown};
use crate::answer::{Answer, Body, answer, json, method_not_allowed, not_found, problem, read_body};
use crate::fault::{FAULTS_MAX, Fault, FaultQueue, RawFault};
use crate::outage::Side;
use crate::platform::Platform;

/// Events in one answer.
const EVENTS_SHOWN_MAX: usize = 1000;
/// How long an outage may be asked for.
const OUTAGE_SECONDS: RangeInclusive<u64> = 1..=3600;
/// Room for the longest list of faults.
const FAULTS_BYTES_MAX: usize = 256 * 1024;

pub(super) async fn handle(platform: &Platform, request: Request<Incoming>) -> Option<Answer> {
    let method = request.method().clone();
    Some(match (request.uri().path(), &method) {
        ("/sandbox/status", &Method::GET) => json(StatusCode::OK, &status(platform)),
        ("/sandbox/events", &Method::GET) => events(platform),
        ("/sandbox/faults", &Method::PUT) => match read_body(request.into_body(), FAULTS_BYTES_MAX).await? {
            Body::Whole(body) => replace_faults(platform, &body),
            Body::TooLarge => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "the list is too long")
            }
        },
        ("/sandbox/faults", &Method::DELETE) => {
            platform.activity.update(|record| record.faults.clear());
            no_content()
        }
        ("/sandbox/rotate-nonces", &Method::POST) => {
            platform.rotate_nonces();
            no_content()
        }
        ("/sandbox/authority/offline", &Method::POST) => outage(platform, Side::Authority, request.uri()),
        ("/sandbox/scanner/offline", &Method::POST) => outage(platform, Side::Scanner, request.uri()),
        ("/sandbox/status" | "/sandbox/events", _) => method_not_allowed("GET"),
        ("/sandbox/faults", _) => method_not_allowed("PUT, DELETE"),
        ("/sandbox/rotate-nonces" | "/sandbox/authority/offline" | "/sandbox/scanner/offline", _) => {
            method_not_allowed("POST")
        }
        _ => not_found(),
    })
}

fn status(platform: &Platform) -> serde_json::Value {
    platform.activity.look(|record| {
        json!({
            "counts": record.counts,
            "eventsKept": record.events.events().len(),
            "faultsWaiting": record.faults.len(),
            "policyRevision": platform.options.policy.revision(),
            "issuer": platform.issuer,
        })
    })
}

fn events(platform: &Platform) -> Answer {
    let newest = platform.activity.look(|record| {
        let events = record.events.events();
        events[events.len().saturating_sub(EVENTS_SHOWN_MAX)..].to_vec()
    });
    json(StatusCode::OK, &newest)
}

/// Accepts the whole list or nothing.
fn replace_faults(platform: &Platform, body: &[u8]) -> Answer {
    let read = || -> Result<Vec<Fault>, String> {
        let raw: Vec<RawFault> = serde_json::from_slice(body).map_err(|error| shown(&error.to_string()))?;
        let resolve =
            |(index, raw): (usize, RawFault)| raw.resolve().map_err(|reason| format!("[{index}]: {reason}"));
        raw.into_iter().enumerate().map(resolve).collect()
    };
    match read() {
        Ok(faults) if faults.len() <= FAULTS_MAX => {
            let mut queue = FaultQueue::default();
            for fault in faults {
                queue.push(fault);
            }
            platform.activity.update(|record| record.faults = queue);
            no_content()
        }
        Ok(_) => invalid("more than 1000 faults"),
        Err(reason) => invalid(&reason),
    }
}

fn outage(platform: &Platform, side: Side, uri: &http::Uri) -> Answer {
    let seconds = uri.query().and_then(|query| query.strip_prefix("seconds="));
    match seconds.and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) if OUTAGE_SECONDS.contains(&seconds) => {
            platform.outages.ask(side, Duration::from_secs(seconds));
            answer(StatusCode::ACCEPTED, "text/plain", format!("offline for {seconds} s\n"))
        }
        _ => invalid("seconds must be in the query, from 1 to 3600"),
    }
}

fn no_content() -> Answer {
    let mut answer = answer(StatusCode::NO_CONTENT, "application/json", "");
    answer.headers_mut().remove(http::header::CONTENT_TYPE);
    answer
}
