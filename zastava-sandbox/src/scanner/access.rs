//! Whether a request may be served: RFC 9449 section 7.

use http::request::Parts;
use http::{StatusCode, Uri};
use zastava_authority::verify::{Confirmation, Denial, ReceivedRequest};
use zastava_core::clock::Timestamp;

use crate::access_token::{SCANNER_SCOPE, TokenFault};
use crate::answer::{Answer, problem, set_header};
use crate::platform::Platform;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct AccessDenied {
    denial: Denial,
    /// What is wrong with the token, if that is the reason.
    token_fault: Option<TokenFault>,
}

/// Checks the token, then the proof. A proof is used up only by a request that is served.
pub(super) fn authorize(platform: &Platform, parts: &Parts, now: Timestamp) -> Result<(), AccessDenied> {
    let uri = format!("{}{}", platform.scanner_url, parts.uri.path()).parse::<Uri>().unwrap_or_default();
    let request = ReceivedRequest {
        method: &parts.method,
        uri: &uri,
        headers: &parts.headers,
        client_certificate: None,
    };
    let mut token_fault = None;
    let read_token = |token: &str| {
        if platform.options.static_token.as_ref().is_some_and(|known| known.expose() == token) {
            // The bearer token for the bootstrap is bound to nothing.
            return Ok((Confirmation::default(), ()));
        }
        let checked = platform.tokens.check_for_scanner(token, now);
        checked.map(|confirmation| (confirmation, ())).map_err(|fault| {
            token_fault = Some(fault);
            match fault {
                TokenFault::Scope => Denial::InsufficientScope { required: SCANNER_SCOPE },
                _ => Denial::Token,
            }
        })
    };
    let outcome = platform.scanner_verifier.authorize(&request, now, read_token);
    outcome.map_err(|denial| {
        let denied = AccessDenied { denial, token_fault };
        denied.count(platform);
        denied
    })
}

impl AccessDenied {
    fn count(&self, platform: &Platform) {
        match self.denial {
            Denial::Proof(error) => platform.count_refused_proof(error),
            Denial::Token
            | Denial::InsufficientScope { .. }
            | Denial::Scheme
            | Denial::NotKeyBound
            | Denial::Certificate => {
                tracing::debug!(reason = self.reason(), "token refused");
                platform.activity.count(|counts| counts.tokens_refused += 1);
            }
            _ => tracing::debug!(reason = self.reason(), "no usable credentials"),
        }
    }

    fn reason(&self) -> String {
        match (self.token_fault, self.denial) {
            (Some(fault), _) => fault.to_string(),
            (None, Denial::Proof(error)) => error.to_string(),
            (None, denial) => denial.to_string(),
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let status = self.denial.status();
        let kind = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            _ => "invalid-request",
        };
        let reason = self.reason();
        let mut answer = problem(status, kind, &reason);
        let challenge = match self.token_fault {
            // The reasons need no escapes.
            Some(_) if self.denial == Denial::Token => {
                format!(r#"DPoP error="invalid_token", error_description="{reason}", algs="ES256""#)
            }
            _ => self.denial.challenge(),
        };
        if status != StatusCode::BAD_REQUEST {
            set_header(&mut answer, "www-authenticate", &challenge);
        }
        answer
    }
}
