//! Shows whether a source works: in the metric, in readiness and in the log.

use std::time::{Duration, Instant};

use zastava_core::vocabulary::Engine;

use super::SourceMetrics;
use super::readiness::SourceReadiness;

/// Readiness fails when the source has not worked for so long.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The health of one source.
#[derive(Debug)]
pub(crate) struct SourceHealth {
    engine: Engine,
    metrics: SourceMetrics,
    readiness: SourceReadiness,
    /// When it last worked; `None` if it never did.
    worked: Option<Instant>,
    is_failing: bool,
}

impl SourceHealth {
    pub(super) fn new(engine: Engine, metrics: SourceMetrics, readiness: SourceReadiness) -> Self {
        metrics.begin(engine);
        Self { engine, metrics, readiness, worked: None, is_failing: false }
    }

    /// The source works.
    pub(super) fn works(&mut self) {
        if self.is_failing || self.worked.is_none() {
            tracing::info!(engine = %self.engine, "the source of workloads works");
            self.metrics.up(self.engine, true);
            self.readiness.holds();
        }
        self.worked = Some(Instant::now());
        self.is_failing = false;
    }

    /// What is counted of the source.
    pub(super) fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    /// The source failed. Only the first of several failures in a row is a warning.
    pub(super) fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        let engine = self.engine;
        if self.is_failing {
            tracing::debug!(%engine, error, "the source of workloads failed again");
        } else {
            tracing::warn!(%engine, error, "the source of workloads failed; it is tried again");
        }
        // A source that works says so rarely. It worked until now.
        if !self.is_failing && self.worked.is_some() {
            self.worked = Some(Instant::now());
        }
        self.is_failing = true;
        self.metrics.up(engine, false);
        if self.worked.is_none_or(|worked| worked.elapsed() >= SILENCE_MAX) {
            self.readiness.fails(format!("{engine}: {error}"));
        }
    }
}
