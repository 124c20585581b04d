//! Shows whether the followed source works: in the metric, in readiness and in the log.

use std::time::{Duration, Instant};

use zastava_core::program::Check;
use zastava_core::telemetry::Gauge;
use zastava_core::vocabulary::Engine;

/// Readiness fails when the source has not worked for so long.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The health of one source.
#[derive(Debug)]
pub(crate) struct SourceHealth {
    engine: Engine,
    up: Gauge,
    check: Check,
    /// When it last worked; `None` if it never did.
    worked: Option<Instant>,
    is_failing: bool,
}

impl SourceHealth {
    pub(super) fn new(engine: Engine, up: Gauge, check: Check) -> Self {
        up.set(&[engine.as_str()], 0.0);
        Self { engine, up, check, worked: None, is_failing: false }
    }

    /// The source works.
    pub(super) fn works(&mut self) {
        if self.is_failing || self.worked.is_none() {
            tracing::info!(engine = %self.engine, "the source of workloads works");
            self.up.set(&[self.engine.as_str()], 1.0);
            self.check.holds();
        }
        self.worked = Some(Instant::now());
        self.is_failing = false;
    }

    /// The source failed. Only the first of several failures in a row is a warning.
    pub(super) fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        let engine = self.engine;
        if self.is_failing {
            tracing::debug!(%engine, error, "the source of workloads failed again");
        } else {
            tracing::warn!(%engine, error, "the source of workloads failed; it is tried again");
        }
        self.is_failing = true;
        self.up.set(&[engine.as_str()], 0.0);
        if self.worked.is_none_or(|worked| worked.elapsed() >= SILENCE_MAX) {
            self.check.fails(format!("{engine}: {error}"));
        }
    }
}
