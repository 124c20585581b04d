//! Counts and times reviews.

use std::time::Instant;

use zastava_core::contract::Decision;
use zastava_core::telemetry::{
    ADMISSION_DECISIONS, ADMISSION_IN_FLIGHT, ADMISSION_REVIEW_SECONDS, Counter, Gauge, Histogram, Telemetry,
};

use crate::assessment::DecidedBy;

#[derive(Debug)]
pub(super) struct Metrics {
    decisions: Counter,
    in_flight: Gauge,
    seconds: Histogram,
}

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let metrics = Self {
            decisions: telemetry.counter(ADMISSION_DECISIONS),
            in_flight: telemetry.gauge(ADMISSION_IN_FLIGHT),
            seconds: telemetry.histogram(ADMISSION_REVIEW_SECONDS),
        };
        // A rate needs both series before the first review.
        for decision in ["Allow", "Deny"] {
            metrics.decisions.add(&[decision, decision], 0);
        }
        metrics
    }

    pub(super) fn start(&self) -> Watch<'_> {
        self.in_flight.add(&[], 1.0);
        Watch { metrics: self, started: Instant::now() }
    }
}

/// One review in progress; dropped when it is answered, refused or abandoned.
#[derive(Debug)]
pub(crate) struct Watch<'m> {
    metrics: &'m Metrics,
    started: Instant,
}

impl Watch<'_> {
    pub(super) fn stop(self, decided_by: DecidedBy, decision: Decision) {
        let decision = decision.to_string();
        self.metrics.decisions.add(&[&decision, &decision], 1);
        self.metrics.seconds.observe_seconds(&[decided_by.name()], self.started.elapsed());
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.add(&[], -1.0);
    }
}
