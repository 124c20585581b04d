use std::path::Path;
use std::time::Duration;

use zastava_core::config::{Configuration, Origin, SettingValue};
use zastava_core::options::{AuthorityOptions, BackendOptions, RuntimeOptions};
use zastava_core::telemetry::METRICS;

pub(crate) const MINIMAL: &str = "\
zastava:
  runtime:
    tenant: acme
    authority:
      issuer: https://authority.internal
      clientCertificatePath: /tls/tls.crt
      clientKeyPath: /tls/tls.key
";

fn parse(text: &str) -> Configuration {
    Configuration::from_yaml(text, Path::new("zastava.yaml"))
}

fn read(config: &Configuration) -> Result<RuntimeOptions, Vec<String>> {
    let read = config.read(|root| RuntimeOptions::read(&root.section("runtime")));
    read.map(|(options, _)| options).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn check_faults(text: &str, wanted: &[&str]) {
    assert_eq!(read(&parse(text)).expect_err("has faults"), wanted, "{text}");
}

#[test]
fn a_minimal_file_is_enough() {
    let options = read(&parse(MINIMAL)).expect("is valid");
    assert_eq!(options.tenant, "acme");
    assert_eq!(options.authority.client_id, "zastava-runtime");
    assert_eq!(options.authority.scopes, ["aud:scanner", "api:scanner.runtime.write"]);
    assert_eq!(options.authority.refresh_skew, Duration::from_secs(120));
    assert!(options.authority.require_dpop && options.authority.require_mutual_tls);
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    check_faults(
        "\
zastava:
  runtime:
    authority:
      issuer: http://authority.internal
      clientCertificatePath: tls.crt
      refreshSkewSeconds: soon
      requireDPoP: true
    metrics:
      commonTags: {le-vel: x}
  observr: {}
",
        &[
            "zastava.yaml:2: zastava.runtime.tenant: missing",
            "zastava.yaml:6: zastava.runtime.authority.refreshSkewSeconds: expected a time such as 500ms, 2s, 5m or 24h, a year at most; a bare number is seconds, found \"soon\"",
            "zastava.yaml:5: zastava.runtime.authority.clientCertificatePath: expected an absolute path in one line, found \"tls.crt\"",
            "zastava.yaml:4: zastava.runtime.authority.issuer: must be https; allowInsecureHttp takes http in a lab",
            "zastava.yaml:3: zastava.runtime.authority.requireMutualTls: needs clientCertificatePath and clientKeyPath; false turns mutual TLS off in a lab",
            "zastava.yaml:7: zastava.runtime.authority.requireDPoP: unknown key; did you mean requireDpop?",
            "zastava.yaml:9: zastava.runtime.metrics.commonTags: \"le-vel\" cannot be a Prometheus label name",
            "zastava.yaml:10: zastava.observr: unknown key",
        ],
    );
}

#[test]
fn a_common_tag_is_no_label_that_a_metric_has_itself() {
    let tagged = |tags: &str| format!("{MINIMAL}    metrics:\n      commonTags: {{{tags}}}\n");
    let own = METRICS.iter().flat_map(|metric| metric.labels).copied();
    for label in own.chain(["le"]) {
        let faults = read(&parse(&tagged(&format!("cluster: eu-1, {label}: x")))).expect_err("is refused");
        let wanted = format!("zastava.yaml:9: zastava.runtime.metrics.commonTags: {label:?} is a label of ");
        assert!(faults.len() == 1 && faults[0].starts_with(&wanted), "{label}: {faults:?}");
    }
    check_faults(
        &tagged("kind: x, le: y, region: ''"),
        &[
            "zastava.yaml:9: zastava.runtime.metrics.commonTags: expected one line of text that is not empty",
            "zastava.yaml:9: zastava.runtime.metrics.commonTags: \"kind\" is a label of zastava_runtime_events itself; a series that has a label twice makes Prometheus drop the whole scrape",
            "zastava.yaml:9: zastava.runtime.metrics.commonTags: \"le\" is a label of zastava_runtime_backend_latency_ms itself; a series that has a label twice makes Prometheus drop the whole scrape",
        ],
    );
    let options = read(&parse(&tagged("cluster: eu-1"))).expect("is valid");
    assert_eq!(options.metrics.common_tags["cluster"], "eu-1");
}

#[test]
fn text_that_is_no_yaml_names_its_line_and_nothing_else() {
    check_faults("zastava: &x {}\n", &["zastava.yaml:1: anchors, aliases and tags are not read"]);
    check_faults("a: 1\n---\nb: 2\n", &["zastava.yaml:2: a second document is not read"]);
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    check_faults(&deep, &["zastava.yaml:1: nested too deeply"]);
    check_faults("- zastava\n", &["zastava.yaml: expected a section with keys, found a list"]);
    let broken = read(&parse("zastava:\n  runtime: {tenant: [\n")).expect_err("is no YAML");
    assert_eq!(broken.len(), 1, "{broken:?}");
}

#[test]
fn a_key_given_twice_is_one_fault_among_the_others() {
    check_faults(
        &format!("{MINIMAL}    tenant: other\n    tennant: x\n"),
        &[
            "zastava.yaml:8: the key tenant is given twice",
            "zastava.yaml:9: zastava.runtime.tennant: unknown key; did you mean tenant?",
        ],
    );
}

#[test]
fn a_section_given_as_a_word_is_a_fault() {
    check_faults(
        "zastava:\n  runtime: yes\n",
        &[
            "zastava.yaml:2: zastava.runtime: expected a section with keys, found \"yes\"",
            "zastava.yaml:2: zastava.runtime.tenant: missing",
            "zastava.yaml:2: zastava.runtime.authority.issuer: missing",
            "zastava.yaml:2: zastava.runtime.authority.requireMutualTls: needs clientCertificatePath and clientKeyPath; false turns mutual TLS off in a lab",
        ],
    );
}

#[test]
fn a_client_proves_itself_in_one_way() {
    check_faults(
        "zastava:\n  runtime:\n    tenant: acme\n    authority:\n      issuer: https://a.example\n      requireMutualTls: false\n      clientSecretPath: /s\n      clientAssertionKeyPath: /k\n",
        &[
            "zastava.yaml:7: zastava.runtime.authority.clientSecretPath: clientAssertionKeyPath is set too; one of them must go",
        ],
    );
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let mut config = parse(MINIMAL);
    config.overlay_environment(
        [
            ("ZASTAVA__RUNTIME__TENANT", "from-env"),
            ("ZASTAVA__RUNTIME__DEPLOYMENT", "from-env"),
            ("ZASTAVA__RUNTIME__AUTHORITY__CLIENTID", "env-client"),
            ("ZASTAVA__RUNTIME__AUTHORITY__SCOPES", "a, b"),
            ("ZASTAVA__RUNTIME__METRICS__COMMONTAGS__CLUSTER", "eu-1"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.into(), value.into())),
    );
    config.set("zastava.runtime.deployment", "from-flag", &Origin::Flag("--set".to_owned()));
    let (options, settings) =
        config.read(|root| RuntimeOptions::read(&root.section("runtime"))).expect("is valid");
    assert_eq!(options.tenant, "from-env");
    assert_eq!(options.deployment, "from-flag");
    assert_eq!(options.authority.client_id, "env-client");
    assert_eq!(options.authority.scopes, ["a", "b"]);
    assert_eq!(options.metrics.common_tags["cluster"], "eu-1");
    let origin = |key: &str| {
        settings.iter().find(|setting| setting.key == key).map(|setting| setting.origin.to_string())
    };
    assert_eq!(origin("zastava.runtime.tenant").as_deref(), Some("ZASTAVA__RUNTIME__TENANT"));
    assert_eq!(origin("zastava.runtime.deployment").as_deref(), Some("--set"));
    assert_eq!(origin("zastava.runtime.authority.issuer").as_deref(), Some("zastava.yaml:5"));
    assert_eq!(origin("zastava.runtime.environment").as_deref(), Some("default"));
}

#[test]
fn a_yaml_list_in_a_variable_is_a_fault() {
    let mut config = parse(MINIMAL);
    config.overlay_environment([("ZASTAVA__RUNTIME__AUTHORITY__SCOPES".into(), "[a, b]".into())]);
    assert_eq!(
        read(&config).expect_err("has a fault"),
        [
            "ZASTAVA__RUNTIME__AUTHORITY__SCOPES: zastava.runtime.authority.scopes: expected words with commas between, without brackets, found \"[a, b]\""
        ]
    );
}

#[test]
fn two_scopes_in_one_are_a_fault() {
    let mut config = parse(MINIMAL);
    config.set(
        "zastava.runtime.authority.scopes",
        "aud:scanner api:write",
        &Origin::Flag("--set".to_owned()),
    );
    assert_eq!(
        read(&config).expect_err("has a fault"),
        [
            "--set: zastava.runtime.authority.scopes: \"aud:scanner api:write\" is not one scope; each is an item of its own"
        ]
    );
}

#[test]
fn a_url_leads_to_a_host_and_a_port_that_can_be() {
    let is_taken = |url: &str| <http::Uri as SettingValue>::parse(url).is_some();
    for url in ["https://a", "https://a:1/b", "http://[::1]:65535", "https://[::1]", "https://10.0.0.1:443/"]
    {
        assert!(is_taken(url), "{url}");
    }
    for url in [
        "https://:443",
        "https://a:99999",
        "https://a:0",
        "https://a:-1",
        "https://a:+1",
        "https://a:",
        "https://.",
        "https://a:b",
        "https://%zz",
        "https://[::1",
        "ftp://a",
        "a:443",
        "https://a?b",
        "https://a@b",
        "https://a:1:2",
    ] {
        assert!(!is_taken(url), "{url}");
    }
}

#[test]
fn an_unknown_variable_is_a_fault_that_names_it() {
    let mut config = parse(MINIMAL);
    config.overlay_environment([("ZASTAVA__RUNTIME__TENNANT".into(), "x".into())]);
    let faults = read(&config).expect_err("has a fault");
    assert_eq!(
        faults,
        ["ZASTAVA__RUNTIME__TENNANT: zastava.runtime.tennant: unknown key; did you mean tenant?"]
    );
}

#[test]
fn a_variable_that_is_no_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut config = parse(MINIMAL);
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    config.overlay_environment([("ZASTAVA__RUNTIME__TENANT".into(), value.clone()), ("LANG".into(), value)]);
    assert_eq!(read(&config).expect_err("has a fault"), ["ZASTAVA__RUNTIME__TENANT: is not UTF-8"]);
}

#[test]
fn secrets_are_neither_printed_nor_repeated_in_faults() {
    let text = format!("{MINIMAL}      allowStaticTokenFallback: true\n      staticTokenValue: hunter2\n");
    let (options, settings) =
        parse(&text).read(|root| RuntimeOptions::read(&root.section("runtime"))).expect("is valid");
    assert!(settings.to_string().contains("zastava.runtime.authority.staticTokenValue: …"), "{settings}");
    assert!(!settings.to_string().contains("hunter2"));
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn backends_are_checked() {
    let text =
        "zastava:\n  observer:\n    backend:\n      baseAddress: http://scanner\n      eventsPath: events\n";
    let faults = parse(text)
        .read(|root| BackendOptions::read(&root.section("observer").section("backend")))
        .expect_err("has faults");
    assert_eq!(
        faults.to_string(),
        "zastava.yaml:5: zastava.observer.backend.eventsPath: expected a URL path that starts with /, found \"events\"\n\
         zastava.yaml:4: zastava.observer.backend.baseAddress: must be https; allowInsecureHttp takes http in a lab"
    );
}

#[test]
fn durations_and_sizes_have_units() {
    let duration = |text| <Duration as SettingValue>::parse(text);
    assert_eq!(duration("2"), Some(Duration::from_secs(2)));
    assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
    for text in ["", "s", "-1", "1.5", "1d", "18446744073709551615h", "18446744073709551615", "8785h"] {
        assert_eq!(duration(text), None, "{text}");
    }
    let size = |text| <zastava_core::config::ByteSize as SettingValue>::parse(text).map(|size| size.0);
    assert_eq!(size("64MiB"), Some(64 << 20));
    assert_eq!(size("64 MB"), Some(64_000_000));
    assert_eq!(size("17179869184GiB"), None);
}

/// Options that are made in code obey the same rules as those that are read.
#[test]
fn built_options_have_the_defaults_and_the_checks_of_read_ones() {
    let issuer = || http::Uri::from_static("https://authority.internal");
    let built =
        AuthorityOptions::builder(issuer()).client_certificate("/tls/tls.crt", "/tls/tls.key").build();
    let (built, read) = (built.expect("is valid"), read(&parse(MINIMAL)).expect("is valid").authority);
    assert_eq!(format!("{built:?}"), format!("{read:?}"));

    let scopes = ["attestor read"];
    let faulty = AuthorityOptions::builder(http::Uri::from_static("http://authority.internal"))
        .audience_scopes("attestor", scopes)
        .client_secret("/s")
        .client_assertion_key("/k", None)
        .request_timeout(Duration::ZERO);
    let faults = faulty.build().expect_err("has faults");
    let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
    assert_eq!(
        keys,
        ["issuer", "audienceScopes", "clientSecretPath", "requireMutualTls", "requestTimeoutSeconds"]
    );
    assert!(faults.to_string().starts_with("issuer: must be https; allowInsecureHttp"), "{faults}");
    let relative =
        AuthorityOptions::builder(http::Uri::from_static("/x")).require_mutual_tls(false).token_path("t");
    let keys: Vec<_> = relative.build().expect_err("has faults").iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["issuer", "tokenPath"]);

    let bound = |issuer| AuthorityOptions::builder(http::Uri::from_static(issuer)).require_mutual_tls(false);
    let rows = [
        ("issuer", bound("ftp://authority.internal")),
        ("issuer", bound("https://user:password@authority.internal")),
        ("issuer", bound("https://authority.internal:0")),
        ("clientId", bound("https://authority.internal").client_id("")),
        ("audience", bound("https://authority.internal").audience("scanner\n")),
        ("scopes", bound("https://authority.internal").scopes([""])),
        ("scopes", bound("https://authority.internal").audience_scopes("attestor", [""])),
        ("tokenPath", bound("https://authority.internal").token_path("/to ken")),
    ];
    for (key, builder) in rows {
        let faults = builder.build().expect_err(key);
        assert_eq!(faults.iter().map(|fault| fault.key).collect::<Vec<_>>(), [key], "{faults}");
        assert!(!faults.to_string().contains("password"), "{faults}");
    }
    let relative = bound("https://authority.internal").cache_dir("run/optok").build();
    assert_eq!(relative.expect("is valid").cache_dir, Path::new("run/optok"));
}
