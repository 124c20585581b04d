//! What is counted of workload sources.

use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::telemetry::{
    Counter, Gauge, Histogram, SOURCE_LAST_EVENT, SOURCE_LIST_SECONDS, SOURCE_OVERFLOWS,
    SOURCE_RESUBSCRIPTIONS, SOURCE_UP, Telemetry,
};
use zastava_core::vocabulary::Engine;

/// The metrics of all sources. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    up: Gauge,
    resubscriptions: Counter,
    overflows: Counter,
    last_event: Gauge,
    list_seconds: Histogram,
}

impl SourceMetrics {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        Self {
            up: telemetry.gauge(SOURCE_UP),
            resubscriptions: telemetry.counter(SOURCE_RESUBSCRIPTIONS),
            overflows: telemetry.counter(SOURCE_OVERFLOWS),
            last_event: telemetry.gauge(SOURCE_LAST_EVENT),
            list_seconds: telemetry.histogram(SOURCE_LIST_SECONDS),
        }
    }

    /// The engine is followed from now on. Series that alerts use exist before the first event, so that a rate over them has
    /// a start.
    pub(super) fn begin(&self, engine: Engine) {
        self.up(engine, false);
        if engine != Engine::Host {
            self.resubscriptions.add(&[engine.as_str()], 0);
            self.overflows.add(&[engine.as_str()], 0);
        }
    }

    /// The engine is not followed any longer.
    pub(super) fn end(&self, engine: Engine) {
        self.up.remove(&[engine.as_str()]);
        self.last_event.remove(&[engine.as_str()]);
    }

    pub(super) fn up(&self, engine: Engine, is_up: bool) {
        self.up.set(&[engine.as_str()], f64::from(u8::from(is_up)));
    }

    /// The source subscribed to the events of its engine, not for the first time.
    pub(super) fn resubscribed(&self, engine: Engine) {
        self.resubscriptions.add(&[engine.as_str()], 1);
    }

    /// An event found no room.
    pub(super) fn overflowed(&self, engine: Engine) {
        self.overflows.add(&[engine.as_str()], 1);
    }

    /// The engine sent an event.
    pub(super) fn heard(&self, engine: Engine) {
        self.last_event.set(&[engine.as_str()], Timestamp::now().unix_seconds() as f64);
    }

    /// The engine answered a list after this time.
    pub(super) fn listed(&self, engine: Engine, after: Duration) {
        self.list_seconds.observe_seconds(&[engine.as_str()], after);
    }
}
