//! Settings: names, defaults, and faults with their place.

use std::path::Path;
use std::time::Duration;

use zastava_admission::{Enforcement, FailOpen, WebhookOptions};
use zastava_core::config::Configuration;
use zastava_core::options::Component;

const LEAST: &str = "zastava:
  runtime: {tenant: acme, authority: {issuer: 'https://authority.example', requireMutualTls: false}}
  observer: {anything: [goes]}
  webhook:
    backend: {baseAddress: 'https://scanner.example'}
";

fn read(text: &str) -> Result<WebhookOptions, String> {
    let config = Configuration::from_yaml(text, Path::new("zastava.yaml"));
    config.read(WebhookOptions::read).map(|(options, _)| options).map_err(|faults| faults.to_string())
}

#[test]
fn defaults_are_those_of_the_contract() {
    let options = read(LEAST).unwrap();
    assert_eq!(options.listen.to_string(), "0.0.0.0:8443");
    assert_eq!(options.health.listen.to_string(), "0.0.0.0:9102");
    assert_eq!(options.runtime.component, Component::Webhook);
    let mount = Path::new("/var/run/secrets/zastava-webhook");
    assert_eq!(options.tls.certificate_path, mount.join("tls.crt"));
    assert_eq!(options.tls.private_key_path, mount.join("tls.key"));
    assert_eq!(options.tls.ca_bundle_path, mount.join("ca.crt"));
    let admission = options.admission;
    assert_eq!(admission.enforcement, Enforcement::Enforce);
    assert!(admission.resolve_tags && !admission.fail_open_by_default);
    assert!(admission.fail_open_namespaces.is_empty() && admission.fail_closed_namespaces.is_empty());
    assert_eq!(admission.cache_ttl, Duration::from_secs(300));
    assert_eq!(admission.max_in_flight, 256);
    let limits = options.limits;
    assert_eq!(
        (limits.body_bytes_max, limits.all_bodies_bytes_max, limits.connections_max),
        (40 << 20, 64 << 20, 512)
    );
    assert_eq!(limits.connection_age_max, Duration::from_secs(600));
}

#[test]
fn fail_open_namespace_is_a_name_or_a_name_with_an_end() {
    let text = format!(
        "{LEAST}    admission:
      failOpenNamespaces: [shop, {{name: batch, until: '2026-12-01T00:00:00Z'}}]
      failClosedNamespaces: [payments]
"
    );
    let (options, settings) =
        Configuration::from_yaml(&text, Path::new("zastava.yaml")).read(WebhookOptions::read).unwrap();
    let shown = |key: &str| {
        let key = format!("zastava.webhook.admission.{key}");
        settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.as_str())
    };
    assert_eq!(shown("failOpenNamespaces"), Some("[shop, {…}]"));
    assert_eq!(shown("failOpenNamespaces[1].name"), Some("batch"));
    let until = Some("2026-12-01T00:00:00Z".parse().unwrap());
    let expected =
        [FailOpen { name: "shop".to_owned(), until: None }, FailOpen { name: "batch".to_owned(), until }];
    assert_eq!(options.admission.fail_open_namespaces, expected);
    assert_eq!(options.admission.fail_closed_namespaces, ["payments"]);
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let faults = read(&format!(
        "{LEAST}    tls: {{mode: CsrBundle, certificatePath: tls.crt}}
    listen: everywhere
    admission:
      failOpenNamespaces:
        - shop
        - {{name: batch, until: tomorrow}}
        - {{until: '2026-12-01T00:00:00Z'}}
        - {{name: a, untill: '2026-12-01T00:00:00Z'}}
      failClosedNamespaces: [shop]
      cacheSeedPath: seed.jsonl
      maxInFlight: 0
      cacheMaxEntries: 0
      cacheMaxBytes: 2GiB
      failOpenByDefautl: true
    limits: {{maxBodyBytes: 1GiB, maxBodiesBytes: 2MiB}}
"
    ))
    .unwrap_err();
    for expected in [
        "zastava.yaml:6: zastava.webhook.tls.mode: CsrBundle is not built yet",
        "zastava.yaml:6: zastava.webhook.tls.certificatePath: expected an absolute path in one line",
        "zastava.yaml:7: zastava.webhook.listen: expected an address",
        "zastava.webhook.admission.failOpenNamespaces[1].until: expected an RFC 3339",
        "zastava.webhook.admission.failOpenNamespaces[2].name: missing",
        "zastava.webhook.admission.failOpenNamespaces[3].untill: unknown key; did you mean until?",
        "zastava.yaml:14: zastava.webhook.admission.failClosedNamespaces: shop is in failOpenNamespaces too",
        "zastava.yaml:15: zastava.webhook.admission.cacheSeedPath: expected an absolute path",
        "zastava.webhook.admission.cacheMaxEntries: expected a number from 1 to 1000000",
        "zastava.webhook.admission.cacheMaxBytes: expected a size from 1KiB to 1GiB",
        "zastava.webhook.admission.maxInFlight: expected a number from 1 to 65536",
        "zastava.webhook.admission.failOpenByDefautl: unknown key; did you mean failOpenByDefault?",
        "zastava.webhook.limits.maxBodyBytes: expected a size",
        "zastava.webhook.limits.maxBodiesBytes: is smaller than maxBodyBytes",
    ] {
        assert!(faults.contains(expected), "{expected}\nin\n{faults}");
    }
    assert_eq!(faults.lines().count(), 14, "{faults}");
}

#[test]
fn registries_are_hosts_and_mirrors_are_places() {
    let faults = read(&format!(
        "{LEAST}    registries:
      hosts: {{registry: {{}}, https://registry.example: {{}}, registry.example/team: {{}}, a.example: {{tokenHost: 'u@b'}}}}
      mirrors: {{docker.io: {{}}, Ghcr: {{askAt: 'https://mirror.example', knownAs: hub}}}}
      proxy: http://proxy.example/path
      requestTimeoutSeconds: 31
"
    ))
    .unwrap_err();
    for expected in [
        "registries.hosts.registry: is no host of a registry",
        "registries.hosts.https://registry.example: is no host of a registry",
        "registries.hosts.registry.example/team: is no host of a registry",
        "registries.hosts.a.example.tokenHost: is no host with an optional port",
        "registries.mirrors.docker.io: says neither askAt nor knownAs",
        "registries.mirrors.Ghcr.askAt: is no host of a registry",
        "registries.mirrors.Ghcr.knownAs: is no host of a registry",
        "registries.proxy: is not http://host:port, without a user",
        "registries.requestTimeoutSeconds: expected more than nothing, 30s at most",
    ] {
        assert!(faults.contains(expected), "{expected}\nin\n{faults}");
    }
    let options = read(&format!(
        "{LEAST}    registries: {{hosts: {{registry.example:5000: {{}}, localhost: {{}}, '[::1]:5000': {{}}}},
      mirrors: {{docker.io/rancher: {{askAt: registry.example:5000/a}}}}}}\n"
    ))
    .unwrap();
    assert_eq!(options.registries.hosts.len(), 3);
}

#[test]
fn what_is_no_namespace_is_in_no_list() {
    let faults = read(&format!(
        "{LEAST}    admission:
      failOpenNamespaces: ['Bad NS', {{name: -a}}]
      failClosedNamespaces: [a, a.b, {}]
",
        "a".repeat(64)
    ))
    .unwrap_err();
    for expected in [
        "failOpenNamespaces: \"Bad NS\" is no name of a namespace",
        "failOpenNamespaces: \"-a\" is no name",
        "failClosedNamespaces: \"a.b\" is no name",
        "failClosedNamespaces: \"aaaa",
    ] {
        assert!(faults.contains(expected), "{expected}\nin\n{faults}");
    }
    assert_eq!(faults.lines().count(), 4, "{faults}");
}

/// An entry without an end beside one with an end would hide that end.
#[test]
fn a_namespace_is_in_a_list_once() {
    for (list, faults) in [
        ("failOpenNamespaces: [{name: shop, until: '2099-12-01T00:00:00Z'}, batch, shop]", 1),
        ("failOpenNamespaces: [shop, {name: shop, until: '2099-12-01T00:00:00Z'}]", 1),
        ("failClosedNamespaces: [shop, batch, shop, shop]", 2),
    ] {
        let told = read(&format!("{LEAST}    admission: {{{list}}}\n")).unwrap_err();
        assert_eq!(told.matches(": shop is in the list twice").count(), faults, "{told}");
        assert_eq!(told.lines().count(), faults, "{told}");
    }
}

/// The sample shows every key with its default, and nothing else.
#[test]
fn sample_is_valid_and_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (sample, settings) = Configuration::from_yaml(&text, &path)
        .read(WebhookOptions::read)
        .unwrap_or_else(|faults| panic!("{faults}"));
    // What stands in comments must be valid too.
    let uncommented = text.replace("      failOpenNamespaces: []\n", "").replace("#: ", "");
    let whole = Configuration::from_yaml(&uncommented, &path)
        .read(WebhookOptions::read)
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(whole.0.admission.fail_open_namespaces.len(), 2);
    // What the sample does not set has no line of its own in it.
    let unset: Vec<_> = settings
        .iter()
        .filter(|setting| setting.origin == zastava_core::config::Origin::Default)
        .map(|setting| setting.key.clone())
        .collect();
    assert!(unset.is_empty(), "{unset:?}");
    let defaults = read(LEAST).unwrap();
    assert_eq!(format!("{:?}", sample.admission), format!("{:?}", defaults.admission));
    assert_eq!(format!("{:?}", sample.tls), format!("{:?}", defaults.tls));
    assert_eq!(format!("{:?}", sample.registries), format!("{:?}", defaults.registries));
    assert_eq!(format!("{:?}", sample.limits), format!("{:?}", defaults.limits));
    assert_eq!((sample.listen, sample.drain), (defaults.listen, defaults.drain));
}
