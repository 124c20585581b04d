//! What is counted of each review.

use std::time::Instant;

use zastava_core::contract::Decision;
use zastava_core::telemetry::{
    ADMISSION_CACHE_HITS, ADMISSION_DECISIONS, ADMISSION_IN_FLIGHT, ADMISSION_REVIEW_SECONDS, Counter, Gauge,
    Histogram, Telemetry,
};

/// What decided a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Verdicts that were remembered.
    Cache,
    /// Verdicts that were asked for, at least one of them.
    Backend,
    /// An update that left the images alone.
    Unchanged,
    /// No verdict, in a namespace that allows then.
    FailOpen,
    /// No verdict, in a namespace that denies then.
    FailClosed,
    /// No verdict, since too many reviews waited.
    Overload,
    /// The review's own text.
    Rule,
}

impl Source {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Backend => "backend",
            Self::Unchanged => "unchanged",
            Self::FailOpen => "fail-open",
            Self::FailClosed => "fail-closed",
            Self::Overload => "overload",
            Self::Rule => "rule",
        }
    }
}

#[derive(Debug)]
pub(super) struct Metrics {
    decisions: Counter,
    cache_hits: Counter,
    in_flight: Gauge,
    seconds: Histogram,
}

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let metrics = Self {
            decisions: telemetry.counter(ADMISSION_DECISIONS),
            cache_hits: telemetry.counter(ADMISSION_CACHE_HITS),
            in_flight: telemetry.gauge(ADMISSION_IN_FLIGHT),
            seconds: telemetry.histogram(ADMISSION_REVIEW_SECONDS),
        };
        // Both series are there before the first review, so that a rate over them has a start.
        for decision in ["Allow", "Deny"] {
            metrics.decisions.add(&[decision, decision], 0);
        }
        metrics
    }

    pub(super) fn count_cache_hits(&self, count: usize) {
        self.cache_hits.add(&[], count as u64);
    }

    pub(super) fn start(&self) -> Watch<'_> {
        self.in_flight.add(&[], 1.0);
        Watch { metrics: self, started: Instant::now() }
    }
}

/// One review in progress; dropped when it is answered, refused or abandoned.
#[derive(Debug)]
pub(super) struct Watch<'m> {
    metrics: &'m Metrics,
    started: Instant,
}

impl Watch<'_> {
    pub(super) fn stop(self, source: Source, decision: Decision) {
        let decision = decision.to_string();
        self.metrics.decisions.add(&[&decision, &decision], 1);
        self.metrics.seconds.observe_seconds(&[source.name()], self.started.elapsed());
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.add(&[], -1.0);
    }
}
