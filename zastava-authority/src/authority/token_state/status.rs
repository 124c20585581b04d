//! The state of a token for `/status`.

use serde_json::{Value, json};

use super::{Current, Serve, TokenState};
use crate::clock_reading::ClockReading;

impl TokenState {
    pub(in crate::authority) fn status(&self, now: ClockReading) -> Value {
        let state = match self.serve(now) {
            Serve::Token(_) => "valid",
            Serve::Wait => "pending",
            Serve::Refuse(_) => "unavailable",
        };
        let mut status = json!({"audience": self.audience, "state": state});
        if let Some(Current { token, requested_at, refresh_after, .. }) = &self.current {
            status["tokenType"] = if token.is_dpop() { "DPoP" } else { "Bearer" }.into();
            status["generation"] = token.generation().into();
            status["expiresAt"] = json!(token.expires_at());
            status["refreshAt"] = json!(requested_at.wall.saturating_add(*refresh_after));
        }
        if let Some(failure) = &self.failure {
            status["lastError"] = failure.error.to_string().into();
            status["retryAt"] = json!(failure.at.wall.saturating_add(failure.delay));
            status["failures"] = self.failures.into();
        }
        status
    }
}
