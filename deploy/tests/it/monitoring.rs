//! Alerts and dashboard are valid, tested, and read only metrics that exist.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::chart::{Chart, everything};
use crate::tools::{find_or_skip, read, root, success};
use crate::yaml;

const RULES: &str = "docs/ops/zastava-runtime-prometheus-rules.yaml";
const DASHBOARD: &str = "docs/ops/zastava-runtime-grafana-dashboard.json";
const UNIT_TESTS: &str = "deploy/tests/alerts.yaml";

/// What scraping and `commonTags` put beside a metric's own labels.
const FOREIGN_LABELS: [&str; 4] = ["cluster", "instance", "job", "le"];

fn alerts() -> Vec<Value> {
    let rules = yaml::document(&read(RULES));
    let groups = rules["groups"].as_array().expect("is a list").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("is a list").clone()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Names with their labels, from the committed list.
fn metrics() -> BTreeMap<String, Vec<String>> {
    let list = read("docs/metrics.md");
    let rows = list.lines().filter(|line| line.starts_with("| `"));
    let ticked =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (ticked(cells[1]).remove(0), ticked(cells[3]))
    })
    .collect()
}

/// The metrics that an expression reads, each with the labels that select its series.
fn read_metrics(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find("zastava_") {
        let name: String =
            rest[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        rest = &rest[start + name.len()..];
        let mut labels = Vec::new();
        if let Some(selector) = rest.strip_prefix('{') {
            let selector = &selector[..selector.find('}').expect("the selector ends")];
            let matchers = selector.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
            labels.extend(matchers.map(|label| label.trim().to_owned()));
        }
        found.push((name, labels));
    }
    found
}

fn assert_known(expression: &str) {
    let known = metrics();
    let read = read_metrics(expression);
    assert!(!read.is_empty(), "{expression} reads nothing of ours");
    for (name, labels) in read {
        let series = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
        let own = known
            .get(&name)
            .or_else(|| known.get(series?))
            .unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        for label in labels {
            assert!(
                own.contains(&label) || FOREIGN_LABELS.contains(&label.as_str()),
                "{name} has no label {label}"
            );
        }
    }
}

/// The expressions of every panel and variable.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("is a list").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let variables = dashboard["templating"]["list"].as_array().expect("is a list").iter();
    let variables = variables
        .filter(|variable| variable["type"] == "query")
        .map(|variable| variable["definition"].clone());
    targets
        .map(|target| target["expr"].clone())
        .chain(variables)
        .map(|query| text(&query).to_owned())
        .collect()
}

#[test]
fn promtool_takes_the_rules_and_each_alert_fires_and_stays_silent() {
    let alerts = alerts();
    let tests = yaml::document(&read(UNIT_TESTS));
    let tests: Vec<_> = tests["tests"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|test| &test["alert_rule_test"][0])
        .collect();
    for alert in &alerts {
        let of_alert = || tests.iter().filter(|test| test["alertname"] == alert["alert"]);
        let expected = |test: &Value| test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        assert!(of_alert().any(|test| expected(test)), "{} is never seen firing", alert["alert"]);
        assert!(of_alert().any(|test| !expected(test)), "{} is never seen silent", alert["alert"]);
    }
    let Some(promtool) = find_or_skip("ZASTAVA_PROMTOOL", "promtool") else { return };
    let told = success(Command::new(&promtool).args(["check", "rules"]).arg(root().join(RULES)));
    assert!(told.contains(&format!("{} rules found", alerts.len())), "{told}");
    success(Command::new(&promtool).args(["test", "rules"]).arg(root().join(UNIT_TESTS)));
}

#[test]
fn each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    let guide = read("docs/ops/alerts.md");
    let alerts = alerts();
    for alert in &alerts {
        let name = text(&alert["alert"]);
        assert!(name.starts_with("Zastava"));
        assert!(matches!(text(&alert["labels"]["severity"]), "critical" | "warning"), "{name}");
        let annotations = &alert["annotations"];
        assert!(
            text(&annotations["summary"]).len() < 80 && text(&annotations["description"]).len() > 40,
            "{name}"
        );
        let url = format!(
            "https://github.com/stella-ops/zastava/blob/main/docs/ops/alerts.md#{}",
            name.to_lowercase()
        );
        assert_eq!(text(&annotations["runbook_url"]), url);
        assert!(guide.contains(&format!("\n## {name}\n")), "{name} has no section in docs/ops/alerts.md");
    }
    let sections = guide.lines().filter_map(|line| line.strip_prefix("## "));
    for section in sections {
        assert!(alerts.iter().any(|alert| alert["alert"] == section), "{section} is no alert");
    }
    for name in
        ["ZastavaAuthorityTokenStale", "ZastavaRuntimeBackendLatencyHigh", "ZastavaAdmissionDenySpike"]
    {
        assert!(alerts.iter().any(|alert| alert["alert"] == name), "operators know {name}");
    }
}

#[test]
fn alerts_and_panels_read_metrics_that_there_are() {
    for alert in alerts() {
        assert_known(text(&alert["expr"]));
    }
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("is JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 20);
    for query in &queries {
        assert_known(query);
    }
    // And the other way round: nothing is counted that nobody looks at.
    let looked_at = queries.join(" ");
    for name in metrics().keys() {
        assert!(looked_at.contains(name.as_str()), "no panel shows {name}");
    }
}

#[test]
fn a_metric_or_label_that_is_not_there_would_be_found() {
    for wrong in ["rate(zastava_runtime_event_total[5m])", "zastava_buffer_bytes{tenant=\"a\"}", "up"] {
        assert!(std::panic::catch_unwind(|| assert_known(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("is JSON");
    assert_eq!((&dashboard["id"], &dashboard["uid"]), (&Value::Null, &Value::from("zastava-runtime")));
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    let mut ids = Vec::new();
    for panel in dashboard["panels"].as_array().expect("is a list") {
        ids.push(panel["id"].as_u64().expect("has an id"));
        if panel["type"] == "row" {
            continue;
        }
        let title = text(&panel["title"]);
        assert!(
            !text(&panel["description"]).is_empty()
                && !text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(),
            "{title}"
        );
        for target in panel["targets"].as_array().expect("is a list") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().zip(place["w"].as_u64()).is_some_and(|(x, w)| x + w <= 24), "{title}");
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "ids are unique");
}

#[test]
fn the_chart_carries_the_same_rules_and_dashboard() {
    for path in [RULES, DASHBOARD] {
        let name = path.rsplit('/').next().expect("has a name");
        assert_eq!(
            read(path),
            read(&format!("deploy/helm/zastava/files/{name}")),
            "copy {path} into the chart"
        );
    }
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[everything()]);
    let rule = rendered.object("PrometheusRule", "zastava-runtime");
    assert_eq!(rule["spec"], yaml::document(&read(RULES)), "nothing of Prometheus' own templates is lost");
    let carried = &rendered.object("ConfigMap", "zastava-runtime-dashboard")["data"]["zastava-runtime.json"];
    let carried: Value = serde_json::from_str(text(carried)).expect("is JSON");
    assert_eq!(carried, serde_json::from_str::<Value>(&read(DASHBOARD)).expect("is JSON"));
}
