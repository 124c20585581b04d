//! The registry behind `/metrics`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::instrument::{Bounds, Counter, Gauge, Histogram};
use super::metric::{BUILD_INFO, Metric, MetricKind, RUNTIME_INFO};
use crate::options::RuntimeOptions;

/// A program's metrics. Cheap to clone; all clones share one registry.
#[derive(Clone)]
pub struct Telemetry(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    registry: Registry,
    counters: Vec<(&'static str, Counter)>,
    gauges: Vec<(&'static str, Gauge)>,
    histograms: Vec<(&'static str, Histogram)>,
}

impl Telemetry {
    /// Metrics with the options' common tags on every series, and the two info metrics.
    #[must_use]
    pub fn new(options: &RuntimeOptions, version: &str, commit: &str) -> Self {
        let tags = options.metrics.common_tags.iter();
        let labels = tags.map(|(name, value)| (name.clone().into(), value.clone().into()));
        let registry = Registry::with_labels(labels);
        let telemetry = Self(Arc::new(Mutex::new(Inner { registry, ..Inner::default() })));
        telemetry.gauge(BUILD_INFO).set(&[version, commit, &options.metrics.meter_name], 1.0);
        let component = options.component.to_string();
        telemetry
            .gauge(RUNTIME_INFO)
            .set(&[&options.tenant, &options.environment, &options.deployment, &component], 1.0);
        telemetry
    }

    /// A registry without common tags, for tests and for embedders that have metrics of their own.
    #[must_use]
    pub fn detached() -> Self {
        Self(Arc::default())
    }

    /// The counter, registered at the first call.
    ///
    /// # Panics
    /// The metric is not a counter.
    #[must_use]
    pub fn counter(&self, metric: Metric) -> Counter {
        assert_eq!(metric.kind, MetricKind::Counter, "{} is not a counter", metric.name);
        let mut inner = self.lock();
        if let Some((_, found)) = inner.counters.iter().find(|(name, _)| *name == metric.name) {
            return found.clone();
        }
        let made = Counter { metric, family: Family::default() };
        inner.registry.register(metric.name, metric.help, made.family.clone());
        if metric.labels.is_empty() {
            made.add(&[], 0);
        }
        inner.counters.push((metric.name, made.clone()));
        made
    }

    /// The gauge, registered at the first call.
    ///
    /// # Panics
    /// The metric is not a gauge.
    #[must_use]
    pub fn gauge(&self, metric: Metric) -> Gauge {
        assert_eq!(metric.kind, MetricKind::Gauge, "{} is not a gauge", metric.name);
        let mut inner = self.lock();
        if let Some((_, found)) = inner.gauges.iter().find(|(name, _)| *name == metric.name) {
            return found.clone();
        }
        let made = Gauge { metric, family: Family::default() };
        inner.registry.register(metric.name, metric.help, made.family.clone());
        inner.gauges.push((metric.name, made.clone()));
        made
    }

    /// The histogram, registered at the first call.
    ///
    /// # Panics
    /// The metric is not a histogram.
    #[must_use]
    pub fn histogram(&self, metric: Metric) -> Histogram {
        let MetricKind::Histogram(bounds) = metric.kind else { panic!("{} is not a histogram", metric.name) };
        let mut inner = self.lock();
        if let Some((_, found)) = inner.histograms.iter().find(|(name, _)| *name == metric.name) {
            return found.clone();
        }
        let made = Histogram { metric, family: Family::new_with_constructor(Bounds(bounds)) };
        inner.registry.register(metric.name, metric.help, made.family.clone());
        inner.histograms.push((metric.name, made.clone()));
        made
    }

    /// The exposition in OpenMetrics text, `application/openmetrics-text; version=1.0.0`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing numbers and text to a `String` cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.lock().registry);
        text.lines().map(without_empty_labels).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Turns the legal but unusual `name{} 1` into `name 1`.
fn without_empty_labels(line: &str) -> String {
    match line.split_once("{} ") {
        Some((name, value)) if !name.contains('"') => format!("{name} {value}\n"),
        _ => format!("{line}\n"),
    }
}
