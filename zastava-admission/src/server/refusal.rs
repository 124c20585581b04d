//! Requests and connections that are refused before a review is read: counted, each with a line in the log.
//!
//! An API server takes such an end for a failure of the webhook. With `failurePolicy: Ignore` it then stores the object, so
//! nothing may end here unseen.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use zastava_core::telemetry::{ADMISSION_REFUSALS, Counter, Telemetry};

use crate::text::printable;

/// Log scope of refusals.
const SCOPE: &str = "admission.refusal";
/// The log has at most one line for each reason in this time, with the number of those left out.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
const DETAIL_LENGTH_MAX: usize = 200;

/// Why a request or a connection got no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There were too many connections, and none gave way.
    Connections,
    /// The connection gave way to that of a peer that has fewer.
    GaveWay,
    /// The connection could not be accepted.
    Accept,
    TlsHandshake,
    /// The peer showed no certificate of the configured authorities.
    ClientCertificate,
    HandshakeTimeout,
    HeadTimeout,
    /// The head of the request is malformed or too large.
    Head,
    Path,
    Method,
    ContentType,
    TooLarge,
    NoRoom,
    BodyTimeout,
    /// The body ended before it was whole.
    BodyCut,
    /// The review was not read before its caller needed the answer.
    ReadTimeout,
    NotAReview,
}

impl Reason {
    /// All of them: every series exists from the start.
    const ALL: [Self; 17] = [
        Self::Connections,
        Self::GaveWay,
        Self::Accept,
        Self::TlsHandshake,
        Self::ClientCertificate,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::Head,
        Self::Path,
        Self::Method,
        Self::ContentType,
        Self::TooLarge,
        Self::NoRoom,
        Self::BodyTimeout,
        Self::BodyCut,
        Self::ReadTimeout,
        Self::NotAReview,
    ];

    /// The value of the metric's label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::GaveWay => "gave-way",
            Self::Accept => "accept",
            Self::TlsHandshake => "tls-handshake",
            Self::ClientCertificate => "client-certificate",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HeadTimeout => "head-timeout",
            Self::Head => "head",
            Self::Path => "path",
            Self::Method => "method",
            Self::ContentType => "content-type",
            Self::TooLarge => "too-large",
            Self::NoRoom => "no-room",
            Self::BodyTimeout => "body-timeout",
            Self::BodyCut => "body-cut",
            Self::ReadTimeout => "read-timeout",
            Self::NotAReview => "not-a-review",
        }
    }

    /// The status of a request's answer. A connection ends without one.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom | Self::ReadTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What is wrong, for the answer and the log.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Path => "send reviews to /validate",
            Self::Method => "send reviews by POST",
            Self::ContentType => "send reviews as application/json",
            Self::TooLarge => "the body is larger than limits.maxBodyBytes",
            Self::NoRoom => "other bodies take limits.maxBodiesBytes",
            Self::BodyTimeout => "the body did not arrive in time",
            Self::BodyCut => "the body ended before it was whole",
            Self::ReadTimeout => "the review was not read in time",
            _ => self.name(),
        }
    }
}

/// Counts and logs refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    counter: Counter,
    lines: Mutex<[Lines; Reason::ALL.len()]>,
}

/// The lines of one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    last: Option<Instant>,
    left_out: u64,
}

impl Refusals {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let counter = telemetry.counter(ADMISSION_REFUSALS);
        for reason in Reason::ALL {
            counter.add(&[reason.name()], 0);
        }
        Self { counter, lines: Mutex::default() }
    }

    /// Counts a refusal, and logs it unless the reason had a line a moment ago.
    pub(super) fn add(&self, reason: Reason, peer: Option<IpAddr>, detail: &dyn fmt::Display) {
        self.counter.add(&[reason.name()], 1);
        let Some(left_out) = self.may_log(reason, Instant::now()) else { return };
        let peer = peer.map(|peer| peer.to_string());
        let detail = printable(&detail.to_string(), DETAIL_LENGTH_MAX);
        tracing::warn!(
            scope = SCOPE,
            reason = reason.name(),
            peer,
            detail,
            left_out,
            "refused before the review was read"
        );
    }

    /// How many lines were left out since the last one, if one is due.
    fn may_log(&self, reason: Reason, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = &mut lines[reason as usize];
        if lines.last.is_some_and(|last| now.saturating_duration_since(last) < LINE_INTERVAL) {
            lines.left_out += 1;
            return None;
        }
        lines.last = Some(now);
        Some(std::mem::take(&mut lines.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_a_line_each_and_say_how_many_they_left_out() {
        let refusals = Refusals::new(&Telemetry::detached());
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for (reason, milliseconds, expected) in [
            (Reason::Path, 0, Some(0)),
            (Reason::Path, 1, None),
            (Reason::Head, 1, Some(0)),
            (Reason::Path, 999, None),
            (Reason::Path, 1000, Some(2)),
            (Reason::Path, 3000, Some(0)),
        ] {
            assert_eq!(refusals.may_log(reason, at(milliseconds)), expected, "{reason:?} {milliseconds}");
        }
    }

    #[test]
    fn every_reason_has_a_place_and_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }
}
