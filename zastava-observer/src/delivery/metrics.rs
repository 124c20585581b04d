//! The outbox in `/metrics`.

use std::time::Duration;

use zastava_core::contract::EventKind;
use zastava_core::telemetry::{
    BUFFER_BYTES, BUFFER_BYTES_LIMIT, BUFFER_DEPTH, BUFFER_DISK_UP, BUFFER_DROPS, BUFFER_LANE,
    BUFFER_OLDEST_SECONDS, Counter, DEAD_LETTERS_DROPPED, EVENTS_DEAD_LETTERED, EVENTS_DUPLICATE,
    EVENTS_SUPPRESSED, Gauge, RUNTIME_EVENTS, Telemetry,
};

use super::lanes::Waiting;
use super::stored::kind_name;
use crate::options::ObserverOptions;

#[derive(Debug)]
pub(super) struct Metrics {
    tenant: String,
    component: String,
    events: Counter,
    duplicates: Counter,
    dead_lettered: Counter,
    drops: Counter,
    suppressed: Counter,
    letters_dropped: Counter,
    depth: Gauge,
    lane: Gauge,
    disk_up: Gauge,
    bytes: Gauge,
    oldest_seconds: Gauge,
}

impl Metrics {
    pub(super) fn new(options: &ObserverOptions, telemetry: &Telemetry) -> Self {
        let metrics = Self {
            tenant: options.runtime.tenant.clone(),
            component: options.runtime.component.to_string(),
            events: telemetry.counter(RUNTIME_EVENTS),
            duplicates: telemetry.counter(EVENTS_DUPLICATE),
            dead_lettered: telemetry.counter(EVENTS_DEAD_LETTERED),
            drops: telemetry.counter(BUFFER_DROPS),
            suppressed: telemetry.counter(EVENTS_SUPPRESSED),
            letters_dropped: telemetry.counter(DEAD_LETTERS_DROPPED),
            depth: telemetry.gauge(BUFFER_DEPTH),
            lane: telemetry.gauge(BUFFER_LANE),
            disk_up: telemetry.gauge(BUFFER_DISK_UP),
            bytes: telemetry.gauge(BUFFER_BYTES),
            oldest_seconds: telemetry.gauge(BUFFER_OLDEST_SECONDS),
        };
        telemetry.gauge(BUFFER_BYTES_LIMIT).set(&[], options.buffer.disk_bytes_max as f64);
        metrics.letters_dropped.add(&[], 0);
        // Series that alerts use exist before the first event, so that a rate over them has a start.
        for kind in EventKind::ALL.map(|kind| kind_name(Some(kind))) {
            metrics.events.add(&[&metrics.tenant, &metrics.component, kind], 0);
            metrics.drops.add(&["evicted", kind], 0);
        }
        metrics
    }

    /// Scanner acknowledged events of these kinds.
    pub(super) fn taken(&self, kinds: impl Iterator<Item = Option<EventKind>>, duplicate: u64) {
        for kind in kinds {
            self.events.add(&[&self.tenant, &self.component, kind_name(kind)], 1);
        }
        self.duplicates.add(&[], duplicate);
    }

    pub(super) fn dead_lettered(&self, count: u64) {
        self.dead_lettered.add(&[], count);
    }

    /// Dead letters that no longer have room.
    pub(super) fn letters_dropped(&self, count: u64) {
        self.letters_dropped.add(&[], count);
    }

    pub(super) fn dropped(&self, reason: &str, kind: &str, count: u64) {
        self.drops.add(&[reason, kind], count);
    }

    /// Events that were left out on purpose.
    pub(super) fn suppressed(&self, reason: &str, kind: &str, count: u64) {
        self.suppressed.add(&[reason, kind], count);
    }

    pub(super) fn waiting(&self, waiting: Waiting, disk_bytes: u64, is_on_disk: bool, oldest: Duration) {
        self.depth.set(&[], waiting.total() as f64);
        self.lane.set(&["live"], waiting.live as f64);
        self.lane.set(&["backlog"], waiting.backlog as f64);
        self.disk_up.set(&[], if is_on_disk { 1.0 } else { 0.0 });
        self.bytes.set(&[], disk_bytes as f64);
        self.oldest_seconds.set(&[], oldest.as_secs_f64());
    }
}
