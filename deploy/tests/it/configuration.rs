//! What is rendered is what the programs read.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use zastava_admission::{Enforcement, WebhookOptions};
use zastava_core::config::{Configuration, Section, Settings};
use zastava_observer::ObserverOptions;

use crate::chart::{Chart, least, sandbox, variants};
use crate::tools::read;
use crate::yaml;

fn options<T>(text: &str, read: impl FnOnce(&Section<'_>) -> Option<T>) -> (T, Settings) {
    let config = Configuration::from_yaml(text, Path::new("zastava.yaml"));
    config.read(read).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

#[test]
fn every_rendered_configuration_has_no_fault() {
    let Some(chart) = Chart::open() else { return };
    for (name, values) in variants() {
        let rendered = chart.render(&values);
        if name != "webhook alone" {
            options(&rendered.configuration("zastava-observer"), ObserverOptions::read);
        }
        if name != "observer alone" {
            options(&rendered.configuration("zastava-webhook"), WebhookOptions::read);
        }
    }
}

#[test]
fn defaults_are_those_of_the_programs_but_for_what_the_chart_mounts() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let text = rendered.configuration("zastava-observer");
    let (observer, settings) = options(&text, ObserverOptions::read);
    let bare = "zastava: {runtime: {tenant: acme, authority: {issuer: 'https://authority.internal',
        clientCertificatePath: /a, clientKeyPath: /b}}, observer: {backend: {baseAddress: 'https://scanner.internal'}}}";
    let (_, defaults) = options(bare, ObserverOptions::read);
    let shown = |settings: &Settings| -> BTreeSet<_> {
        settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    let (chosen, defaults) = (shown(&settings), shown(&defaults));
    let different: Vec<_> = chosen.difference(&defaults).map(|(key, _)| key.as_str()).collect();
    let expected = [
        "zastava.observer.engine",
        "zastava.observer.procRootPath",
        "zastava.runtime.authority.clientCertificatePath",
        "zastava.runtime.authority.clientKeyPath",
        "zastava.runtime.authority.dpopKeyPath",
    ];
    assert_eq!(different, expected);
    assert_eq!(observer.proc_root_path, Path::new("/host/proc"));

    let (webhook, _) = options(&rendered.configuration("zastava-webhook"), WebhookOptions::read);
    assert_eq!(webhook.tls.certificate_path, Path::new("/var/run/secrets/zastava-webhook/tls.crt"));
    assert_eq!(webhook.admission.enforcement, Enforcement::Enforce);
    assert!(!webhook.admission.fail_open_by_default);
}

/// The samples hold every key with its default; what has none stands behind `#:`.
fn sample(program: &str) -> Value {
    let text = read(&format!("docs/samples/{program}.yaml"));
    let mut uncommented = String::new();
    for line in text.lines() {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        match rest.strip_prefix("#: ") {
            // A node's name is its own: every pod would have the same.
            Some(key) if key.starts_with("nodeName") => {}
            // Shown twice, as a list and as an example.
            Some(key) if key.starts_with("failOpenNamespaces") => {}
            Some(key) => uncommented += &format!("{indent}{key}\n"),
            None => uncommented += &format!("{line}\n"),
        }
    }
    yaml::document(&uncommented)
}

#[test]
fn every_key_of_the_samples_can_be_set_and_arrives_as_it_was_set() {
    let Some(chart) = Chart::open() else { return };
    let (observer, webhook) = (sample("observer"), sample("webhook"));
    let rendered = chart.render(&[observer.clone(), webhook.clone()]);
    let text = rendered.configuration("zastava-observer");
    options(&text, ObserverOptions::read);
    assert_eq!(yaml::document(&text)["zastava"]["observer"], observer["zastava"]["observer"]);
    let text = rendered.configuration("zastava-webhook");
    options(&text, WebhookOptions::read);
    let found = yaml::document(&text);
    let mut expected = webhook;
    // The name by which API servers call cannot be left out.
    expected["zastava"]["webhook"]["tls"]["serverNames"] = json!(["zastava-webhook.stellaops.svc"]);
    for part in ["runtime", "webhook"] {
        assert_eq!(found["zastava"][part], expected["zastava"][part], "{part}");
    }
}

#[test]
fn a_long_number_stays_a_number() {
    let Some(chart) = Chart::open() else { return };
    let values =
        json!({"zastava": {"observer": {"collect": {"maxHashBytesPerContainer": 123_456_789_012_i64}}}});
    let (options, _) =
        options(&chart.render(&[least(), values]).configuration("zastava-observer"), ObserverOptions::read);
    assert_eq!(options.collect.hash_bytes_max, 123_456_789_012);
}

#[test]
fn the_sandbox_fills_in_what_is_not_given_and_nothing_else() {
    let Some(chart) = Chart::open() else { return };
    let (webhook, _) =
        options(&chart.render(&[sandbox()]).configuration("zastava-webhook"), WebhookOptions::read);
    let authority = &webhook.runtime.authority;
    assert_eq!(authority.issuer.to_string(), "https://zastava-sandbox.stellaops.svc:8440/");
    assert_eq!(webhook.backend.base_address.to_string(), "https://zastava-sandbox.stellaops.svc:8441/");
    let ca = Path::new("/var/run/secrets/zastava-authority-mtls/ca.crt");
    assert_eq!(authority.ca_bundle_path.as_deref(), Some(ca));
    assert_eq!(webhook.backend.ca_bundle_path.as_deref(), Some(ca));

    let (webhook, _) =
        options(&chart.render(&[least(), sandbox()]).configuration("zastava-webhook"), WebhookOptions::read);
    assert_eq!(webhook.runtime.tenant, "acme");
    assert_eq!(webhook.runtime.authority.issuer.to_string(), "https://authority.internal/");
    assert_eq!(webhook.backend.base_address.to_string(), "https://scanner.internal/");
    assert_eq!((webhook.runtime.authority.ca_bundle_path, webhook.backend.ca_bundle_path), (None, None));
}

#[test]
fn files_of_secrets_are_named_only_when_they_are_mounted() {
    let Some(chart) = Chart::open() else { return };
    let values = json!({
        "secrets": {
            "authorityMtls": "", "authorityDpop": "", "authorityClientSecret": "client", "authorityStaticToken": "boot",
        },
        "zastava": {"runtime": {"authority": {"requireMutualTls": false, "allowStaticTokenFallback": true}}},
    });
    let rendered = chart.render(&[least(), values]);
    let (observer, _) = options(&rendered.configuration("zastava-observer"), ObserverOptions::read);
    let authority = observer.runtime.authority;
    assert_eq!((authority.client_certificate_path, authority.client_key_path), (None, None));
    assert_eq!(authority.dpop_key_path, None);
    assert!(authority.static_token.is_some());
    let secret = authority.client_secret_path.expect("is named");
    let pod = &rendered.object("DaemonSet", "zastava-observer")["spec"]["template"]["spec"];
    let mounts: Vec<_> = pod["containers"][0]["volumeMounts"].as_array().expect("is a list").iter().collect();
    let below = |path: &Path| {
        mounts.iter().any(|mount| path.starts_with(mount["mountPath"].as_str().expect("is text")))
    };
    assert!(below(&secret));
    assert!(!below(Path::new("/var/run/secrets/zastava-authority-mtls")));
}
