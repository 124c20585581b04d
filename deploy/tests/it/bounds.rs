//! What the programs would refuse at their start, the chart refuses before; what they take, it takes.

use std::path::Path;

use serde_json::{Value, json};
use zastava_admission::WebhookOptions;
use zastava_core::config::Configuration;
use zastava_observer::ObserverOptions;

use crate::chart::{Chart, least};
use crate::mistakes::at;
use crate::tools::read;
use crate::yaml;

/// A key below `zastava`, values that just fit, and values that just do not.
fn bounds() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let some_time = || vec![json!("1ms"), json!("8784h")];
    let no_time = || vec![json!(0), json!("0ms"), json!("8785h"), json!(31_622_401)];
    vec![
        ("runtime.authority.requestTimeoutSeconds", some_time(), no_time()),
        ("runtime.authority.refreshSkewSeconds", vec![json!(0)], vec![json!("8785h")]),
        ("runtime.authority.staticTokenMaxAge", vec![json!("8784h")], vec![json!("8785h")]),
        ("observer.backend.requestTimeoutSeconds", some_time(), no_time()),
        ("observer.pollInterval", vec![json!("100ms")], vec![json!(0), json!("99ms")]),
        ("observer.posture.fallbackTtlSeconds", vec![json!(0)], vec![json!("8785h")]),
        ("observer.publishFlushIntervalSeconds", vec![json!(0)], vec![json!("8785h")]),
        ("observer.backoff.initial", vec![json!("1ms"), json!("30s")], vec![json!(0), json!("30001ms")]),
        ("observer.backoff.max", vec![json!(1)], vec![json!("999ms"), json!("8785h")]),
        (
            "observer.maxDiskBufferBytes",
            vec![json!("4MiB"), json!(4_194_304), json!("1024GiB")],
            vec![json!(0), json!(4_194_303), json!("4MB"), json!("1025GiB")],
        ),
        (
            "observer.publishBatchBytes",
            vec![json!("64KiB"), json!("1MiB")],
            vec![json!(0), json!("64KB"), json!(1_048_577)],
        ),
        ("observer.deadLetter.maxBytes", vec![json!("64 KiB")], vec![json!(0), json!(65_535)]),
        ("observer.collect.secondLookAfter", vec![json!(0), json!("8784h")], vec![json!("8785h")]),
        ("observer.collect.thirdLookAfter", vec![json!(0), json!("8784h")], vec![json!("8785h")]),
        ("observer.collect.maxLibraryBytes", vec![json!(0)], vec![json!("99999999999GiB")]),
        ("observer.limits.burst", vec![json!(1)], vec![json!(0), json!(4_294_967_296_u64)]),
        ("webhook.backend.requestTimeoutSeconds", some_time(), no_time()),
        ("webhook.tls.pollInterval", some_time(), no_time()),
        ("webhook.admission.cacheTtlSeconds", vec![json!(0), json!("8784h")], vec![json!("8785h")]),
        (
            "webhook.admission.cacheMaxEntries",
            vec![json!(1), json!(1_000_000)],
            vec![json!(0), json!(1_000_001)],
        ),
        (
            "webhook.admission.cacheMaxBytes",
            vec![json!(1024), json!("1GiB")],
            vec![json!(0), json!("1025MiB")],
        ),
        ("webhook.drainSeconds", vec![json!(0), json!("5m")], vec![json!(301), json!("1h")]),
        (
            "webhook.limits.maxBodyBytes",
            vec![json!("1KiB"), json!("64MiB")],
            vec![json!(0), json!("1KB"), json!(67_108_865)],
        ),
        (
            "webhook.limits.maxConnectionAge",
            vec![json!("1ms"), json!(1), json!("24h")],
            vec![json!(0), json!("25h")],
        ),
        (
            "webhook.limits.maxBodiesBytes",
            vec![json!("64MiB"), json!("1GiB")],
            vec![json!(0), json!("1KB"), json!(1_073_741_825)],
        ),
    ]
}

/// Whether the program to which the key belongs takes it.
fn program_takes(key: &str, value: &Value) -> bool {
    let mut least = least();
    least["zastava"]["runtime"]["authority"]["requireMutualTls"] = json!(false);
    let mut place = &mut least["zastava"];
    for word in key.split('.') {
        place = &mut place[word];
    }
    *place = value.clone();
    let config = Configuration::from_yaml(&least.to_string(), Path::new("zastava.yaml"));
    match key.starts_with("webhook.") {
        true => config.read(WebhookOptions::read).is_ok(),
        false => config.read(ObserverOptions::read).is_ok(),
    }
}

#[test]
fn chart_and_program_take_and_refuse_the_same() {
    let Some(chart) = Chart::open() else { return };
    for (key, good, bad) in bounds() {
        for value in good {
            assert!(program_takes(key, &value), "{key}: {value}");
            if let Err(told) = chart.template(&[least(), at(&format!("zastava.{key}"), value.clone())]) {
                panic!("{key}: {value} was refused\n{told}");
            }
        }
        for value in bad {
            assert!(!program_takes(key, &value), "{key}: {value}");
            let told = chart.template(&[least(), at(&format!("zastava.{key}"), value.clone())]);
            let told = told.expect_err(&format!("{key}: {value} was taken"));
            let section = key.rsplit_once('.').map_or("", |(section, _)| section).replace('.', "/");
            assert!(told.contains(&format!("at '/zastava/{section}/")), "{key}: {value}:\n{told}");
        }
    }
}

/// Every key of the values that has keys below it or is one itself, as a path of words.
fn paths(values: &Value, above: &[String], found: &mut Vec<Vec<String>>) {
    let Some(members) = values.as_object() else { return };
    for (key, value) in members {
        let path = [above, std::slice::from_ref(key)].concat();
        paths(value, &path, found);
        found.push(path);
    }
}

#[test]
fn null_is_refused_by_path_or_harmless() {
    let Some(chart) = Chart::open() else { return };
    let values = yaml::document(&read("deploy/helm/zastava/values.yaml"));
    let mut keys = Vec::new();
    paths(&values, &[], &mut keys);
    assert!(keys.len() > 150, "{}", keys.len());
    let mut refused = 0;
    for path in keys {
        let nothing = path.iter().rev().fold(Value::Null, |below, key| json!({key: below}));
        let Err(told) = chart.template(&[least(), nothing]) else { continue };
        let key = path.last().expect("has a word");
        let named = told.contains(&format!("missing property '{key}'")) || told.contains(&path.join("/"));
        assert!(named && !told.contains("nil pointer"), "{path:?}:\n{told}");
        refused += 1;
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn null_takes_nothing_away_that_must_stand() {
    let Some(chart) = Chart::open() else { return };
    for path in [
        "zastava",
        "zastava.runtime",
        "zastava.runtime.tenant",
        "zastava.runtime.authority",
        "zastava.runtime.authority.issuer",
        "zastava.observer.backend",
        "zastava.observer.backend.baseAddress",
        "zastava.webhook.backend.baseAddress",
        "secrets",
        "caBundle",
        "image",
        "image.registry",
        "observer.enabled",
        "webhook",
        "webhook.enabled",
        "webhook.certificate.secretName",
        "webhook.registration.enabled",
        "sandbox",
        "sandbox.enabled",
        "tests",
        "networkPolicy",
        "networkPolicy.enabled",
    ] {
        let told = chart.template(&[least(), at(path, Value::Null)]).expect_err(path);
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let place = match section {
            "" => format!("at '': missing property '{key}'"),
            section => format!("at '/{}': missing property '{key}'", section.replace('.', "/")),
        };
        assert!(told.contains(&place), "{path}: {place} not in\n{told}");
    }
}
