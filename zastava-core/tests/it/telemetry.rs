use zastava_core::telemetry::{METRICS, Metric, MetricKind, Telemetry};

/// The list that operators read, `docs/metrics.md`, is the list that the code knows.
#[test]
fn the_documented_metrics_are_the_registered_ones() {
    let documented = include_str!("../metrics.md");
    let rows: Vec<&str> = documented.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = METRICS.iter().map(row).collect();
    assert_eq!(rows, wanted, "docs/metrics.md must hold:\n{}", wanted.join("\n"));
}

fn row(metric: &Metric) -> String {
    let total = if metric.kind == MetricKind::Counter { "_total" } else { "" };
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}{total}` | {} | {} | {} |", metric.name, metric.kind.name(), labels.join(", "), metric.help)
}

#[test]
fn every_metric_of_the_list_can_be_moved_and_is_shown() {
    let telemetry = Telemetry::detached();
    for metric in METRICS {
        let values = vec!["v"; metric.labels.len()];
        match metric.kind {
            MetricKind::Counter => telemetry.counter(*metric).add(&values, 1),
            MetricKind::Gauge => telemetry.gauge(*metric).set(&values, 1.0),
            MetricKind::Histogram(_) => telemetry.histogram(*metric).observe(&values, 1.0),
            _ => unreachable!("the list has three kinds"),
        }
    }
    let text = telemetry.render();
    for metric in METRICS {
        let declared = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
        assert!(text.contains(&declared), "{declared} is missing in\n{text}");
    }
    assert!(
        text.contains("zastava_runtime_events_total{tenant=\"v\",component=\"v\",kind=\"v\"} 1\n"),
        "{text}"
    );
}

#[test]
fn a_metric_asked_for_twice_is_one_metric() {
    let telemetry = Telemetry::detached();
    let metric = zastava_core::telemetry::ADMISSION_CACHE_HITS;
    telemetry.counter(metric).add(&[], 2);
    telemetry.counter(metric).add(&[], 3);
    assert_eq!(telemetry.counter(metric).get(&[]), 5);
    assert_eq!(telemetry.render().matches("zastava_admission_cache_hits_total 5").count(), 1);
}
