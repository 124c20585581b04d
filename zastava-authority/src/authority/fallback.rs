//! The static token: serves until Authority first answers, where that is allowed.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::options::{StaticTokenOptions, StaticTokenSource};
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_FALLBACK, Telemetry, scope};

use crate::error::Error;
use crate::moment::Moment;
use crate::small_file;
use crate::token::OpTok;
use crate::transport::watch::{Stamp, stamp};

/// The file is looked at this often at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Each use is counted, but logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Fallback {
    options: StaticTokenOptions,
    /// The one audience that it is for.
    audience: String,
    started: Moment,
    uses: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked_at: Option<Moment>,
    /// Of the file that the token was read from.
    stamp: Stamp,
    /// The token, and since when it is there.
    token: Option<(Arc<OpTok>, Moment)>,
    logged_at: Option<Moment>,
}

impl Fallback {
    pub(super) fn new(
        options: StaticTokenOptions,
        audience: &str,
        started: Moment,
        telemetry: &Telemetry,
    ) -> Self {
        let uses = telemetry.counter(TOKEN_FALLBACK);
        Self { options, audience: audience.to_owned(), started, uses, state: Mutex::default() }
    }

    /// The static token, if it is for this audience and not too old; `error` says why it is needed.
    pub(super) fn token(&self, audience: &str, error: &Error, now: Moment) -> Option<Arc<OpTok>> {
        if audience != self.audience {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut state, now);
        let young = state.token.as_ref().filter(|(_, since)| now.since(*since) < self.options.age_max);
        let token = young.map(|(token, _)| Arc::clone(token));
        let log = state.logged_at.is_none_or(|at| now.since(at) >= LOG_INTERVAL);
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

    /// Reads the token if that was not done yet, or if its file changed.
    fn look(&self, state: &mut State, now: Moment) {
        if state.looked_at.is_some_and(|at| now.since(at) < LOOK_INTERVAL) {
            return;
        }
        state.looked_at = Some(now);
        match &self.options.source {
            StaticTokenSource::Value(value) if state.token.is_none() => {
                state.token = self.make(value.clone(), self.started);
            }
            StaticTokenSource::Value(_) => {}
            StaticTokenSource::Path(path) => {
                let found = stamp(path);
                if found != state.stamp || state.token.is_none() {
                    (state.stamp, state.token) = (found, self.read(path, now));
                }
            }
        }
    }

    /// As old as its file says, and no younger than when it was first seen: a time in the future
    /// would keep it young.
    fn read(&self, path: &Path, now: Moment) -> Option<(Arc<OpTok>, Moment)> {
        let modified: Timestamp = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?.into();
        let text = small_file::read(path).ok()?;
        self.make(Secret::new(text.trim().to_owned()), now.at_wall(modified.min(now.wall)))
    }

    fn make(&self, text: Secret, since: Moment) -> Option<(Arc<OpTok>, Moment)> {
        let expires_at = since.wall.saturating_add(self.options.age_max);
        let mut token = OpTok::new(text, &self.audience, expires_at, 0, None).ok()?;
        token.is_static = true;
        Some((Arc::new(token), since))
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
}
