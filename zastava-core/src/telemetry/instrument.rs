//! Counters, gauges and histograms whose series are named by label values.

use std::time::Duration;

use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::{counter, gauge, histogram};

use super::metric::Metric;

type Labels = Vec<(&'static str, String)>;

/// A counter with one series for each combination of label values.
#[derive(Clone, Debug)]
pub struct Counter {
    pub(super) metric: Metric,
    pub(super) family: Family<Labels, counter::Counter>,
}

impl Counter {
    /// Adds to the series of these label values, in the order of the metric's labels.
    pub fn add(&self, values: &[&str], count: u64) {
        self.family.get_or_create(&labels(self.metric, values)).inc_by(count);
    }

    /// The value of the series.
    #[must_use]
    pub fn get(&self, values: &[&str]) -> u64 {
        self.family.get_or_create(&labels(self.metric, values)).get()
    }
}

/// A gauge with one series for each combination of label values.
#[derive(Clone, Debug)]
pub struct Gauge {
    pub(super) metric: Metric,
    pub(super) family: Family<Labels, gauge::Gauge<f64, std::sync::atomic::AtomicU64>>,
}

impl Gauge {
    /// Removes the series of these label values.
    pub fn remove(&self, values: &[&str]) {
        self.family.remove(&labels(self.metric, values));
    }

    /// Sets the series of these label values.
    pub fn set(&self, values: &[&str], value: f64) {
        self.family.get_or_create(&labels(self.metric, values)).set(value);
    }

    /// Adds to the series of these label values; negative numbers subtract.
    pub fn add(&self, values: &[&str], value: f64) {
        self.family.get_or_create(&labels(self.metric, values)).inc_by(value);
    }

    /// The value of the series.
    #[must_use]
    pub fn get(&self, values: &[&str]) -> f64 {
        self.family.get_or_create(&labels(self.metric, values)).get()
    }
}

/// A histogram with one series for each combination of label values.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub(super) metric: Metric,
    pub(super) family: Family<Labels, histogram::Histogram, Bounds>,
}

impl Histogram {
    /// Records a value in the metric's unit.
    pub fn observe(&self, values: &[&str], value: f64) {
        self.family.get_or_create(&labels(self.metric, values)).observe(value);
    }

    /// Records a duration in milliseconds.
    pub fn observe_ms(&self, values: &[&str], duration: Duration) {
        self.observe(values, duration.as_secs_f64() * 1000.0);
    }

    /// Records a duration in seconds.
    pub fn observe_seconds(&self, values: &[&str], duration: Duration) {
        self.observe(values, duration.as_secs_f64());
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds(pub(super) &'static [f64]);

impl MetricConstructor<histogram::Histogram> for Bounds {
    fn new_metric(&self) -> histogram::Histogram {
        histogram::Histogram::new(self.0.iter().copied())
    }
}

fn labels(metric: Metric, values: &[&str]) -> Labels {
    assert_eq!(metric.labels.len(), values.len(), "{} takes {:?}", metric.name, metric.labels);
    metric.labels.iter().copied().zip(values.iter().map(|value| (*value).to_owned())).collect()
}
