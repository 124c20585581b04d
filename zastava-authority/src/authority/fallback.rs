//! The static token. It serves until Authority first issues a token, if the configuration allows it.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::options::{StaticTokenOptions, StaticTokenSource};
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_FALLBACK, Telemetry, scope};

use crate::clock_reading::ClockReading;
use crate::error::Error;
use crate::small_file;
use crate::token::OpTok;
use crate::transport::watch::{Stamp, stamp};

/// The file is checked at most this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Each use is counted, but logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Fallback {
    options: StaticTokenOptions,
    /// The only audience that it is for.
    audience: String,
    started: ClockReading,
    uses: Counter,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    looked_at: Option<ClockReading>,
    /// Identifies the version of the file that the token was read from.
    stamp: Stamp,
    /// The token, and the time from which its age counts.
    token: Option<(Arc<OpTok>, ClockReading)>,
    logged_at: Option<ClockReading>,
}

impl Fallback {
    pub(super) fn new(
        options: StaticTokenOptions,
        audience: &str,
        started: ClockReading,
        telemetry: &Telemetry,
    ) -> Self {
        let uses = telemetry.counter(TOKEN_FALLBACK);
        Self { options, audience: audience.to_owned(), started, uses, loaded: Mutex::default() }
    }

    /// The static token, if it is for this audience and not too old. `error` says why it is needed.
    pub(super) fn token(&self, audience: &str, error: &Error, now: ClockReading) -> Option<Arc<OpTok>> {
        if audience != self.audience {
            return None;
        }
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut loaded, now);
        let usable = loaded.token.as_ref().filter(|(_, since)| now.since(*since) < self.options.age_max);
        let token = usable.map(|(token, _)| Arc::clone(token));
        let is_due = loaded.logged_at.is_none_or(|at| now.since(at) >= LOG_INTERVAL);
        if is_due {
            loaded.logged_at = Some(now);
        }
        drop(loaded);
        if is_due {
            self.audit(token.as_deref(), error);
        }
        if token.is_some() {
            self.uses.add(&[audience], 1);
        }
        token
    }

    /// Reads the token for the first time, or again when its file changed.
    fn look(&self, loaded: &mut Loaded, now: ClockReading) {
        if loaded.looked_at.is_some_and(|at| now.since(at) < LOOK_INTERVAL) {
            return;
        }
        loaded.looked_at = Some(now);
        match &self.options.source {
            StaticTokenSource::Value(value) if loaded.token.is_none() => {
                loaded.token = self.make(value.clone(), self.started);
            }
            StaticTokenSource::Value(_) => {}
            StaticTokenSource::Path(path) => {
                let found = stamp(path);
                if found != loaded.stamp || loaded.token.is_none() {
                    (loaded.stamp, loaded.token) = (found, self.read(path, now));
                }
            }
        }
    }

    /// The token is as old as its file. A file from the future counts from now, so that it does not
    /// stay young for ever.
    fn read(&self, path: &Path, now: ClockReading) -> Option<(Arc<OpTok>, ClockReading)> {
        let modified: Timestamp = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?.into();
        let text = small_file::read(path).ok()?;
        self.make(Secret::new(text.trim().to_owned()), now.at_wall(modified.min(now.wall)))
    }

    fn make(&self, text: Secret, since: ClockReading) -> Option<(Arc<OpTok>, ClockReading)> {
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
