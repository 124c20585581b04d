//! The static token: serves until Authority first answers, where that is allowed.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::options::{StaticTokenOptions, StaticTokenSource};
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_FALLBACK, Telemetry, scope};

use crate::error::Error;
use crate::small_file;
use crate::token::OpTok;

/// The file is read this often at most.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Each use is counted, but logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Fallback {
    options: StaticTokenOptions,
    /// The one audience that it is for.
    audience: String,
    started: Timestamp,
    uses: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    read_at: Option<Timestamp>,
    token: Option<Arc<OpTok>>,
    logged_at: Option<Timestamp>,
}

impl Fallback {
    pub(super) fn new(
        options: StaticTokenOptions,
        audience: &str,
        started: Timestamp,
        telemetry: &Telemetry,
    ) -> Self {
        let uses = telemetry.counter(TOKEN_FALLBACK);
        Self { options, audience: audience.to_owned(), started, uses, state: Mutex::default() }
    }

    /// The static token, if it is for this audience and not too old; `error` says why it is needed.
    pub(super) fn token(&self, audience: &str, error: &Error, now: Timestamp) -> Option<Arc<OpTok>> {
        if audience != self.audience {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.read_at.is_none_or(|at| now.saturating_since(at) >= READ_INTERVAL) {
            state.read_at = Some(now);
            state.token = self.read();
        }
        let token = state.token.clone().filter(|token| now < token.expires_at());
        let log = state.logged_at.is_none_or(|at| now.saturating_since(at) >= LOG_INTERVAL);
        if log {
            state.logged_at = Some(now);
        }
        drop(state);
        if log {
            self.audit(token.as_deref(), error);
        }
        if token.is_some() {
            self.uses.add(&[audience], 1);
        }
        token
    }

    fn audit(&self, token: Option<&OpTok>, error: &Error) {
        let audience = self.audience.as_str();
        let error = error as &dyn std::error::Error;
        match token {
            Some(token) => tracing::warn!(
                scope = scope::TOKEN_FALLBACK, audience, expires_at = %token.expires_at(), error,
                "static token serves until Authority answers"
            ),
            None => tracing::warn!(
                scope = scope::TOKEN_FALLBACK,
                audience,
                error,
                "static token cannot serve: it is missing, malformed or too old"
            ),
        }
    }

    fn read(&self) -> Option<Arc<OpTok>> {
        let (text, since) = match &self.options.source {
            StaticTokenSource::Value(value) => (value.clone(), self.started),
            StaticTokenSource::Path(path) => {
                let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
                let text = small_file::read(path).ok()?;
                (Secret::new(text.trim().to_owned()), modified.into())
            }
        };
        let expires_at = since.saturating_add(self.options.age_max);
        let mut token = OpTok::new(text, &self.audience, expires_at, 0, None).ok()?;
        token.is_static = true;
        Some(Arc::new(token))
    }
}
