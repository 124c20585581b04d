//! The errors of the token endpoint.

use http::StatusCode;
use serde_json::json;

use crate::answer::{Answer, json, set_header};

/// An OAuth error (RFC 6749 section 5.2).
#[derive(Debug)]
pub(super) struct OAuthError {
    status: StatusCode,
    pub(super) code: &'static str,
    pub(super) description: String,
    /// The client tried HTTP authentication, so the answer challenges it.
    challenge_basic: bool,
}

impl OAuthError {
    pub(super) fn new(code: &'static str, description: &str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, code, description: description.to_owned(), challenge_basic: false }
    }

    pub(super) fn invalid_request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn invalid_client(description: &str, challenge_basic: bool) -> Self {
        let error = Self::new("invalid_client", description);
        Self { status: StatusCode::UNAUTHORIZED, challenge_basic, ..error }
    }

    pub(super) fn answer(&self) -> Answer {
        let body = json!({"error": self.code, "error_description": self.description});
        let mut answer = json(self.status, &body);
        if self.challenge_basic {
            set_header(&mut answer, "www-authenticate", "Basic realm=\"sandbox\"");
        }
        answer
    }
}
