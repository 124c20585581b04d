use std::path::Path;
use std::time::Duration;

use zastava_core::config::{Configuration, Origin};
use zastava_core::contract::KindStyle;
use zastava_core::options::Component;
use zastava_observer::{EngineChoice, ObserverOptions};

const MINIMAL: &str = "\
zastava:
  runtime:
    tenant: acme
    authority:
      issuer: https://authority.internal
      clientCertificatePath: /tls/tls.crt
      clientKeyPath: /tls/tls.key
  observer:
    backend:
      baseAddress: https://scanner.internal
";

fn parse(text: &str) -> Configuration {
    Configuration::from_yaml(text, Path::new("zastava.yaml"))
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).read(ObserverOptions::read).expect_err("has faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_minimal_file_is_enough() {
    let (options, _) = parse(MINIMAL).read(ObserverOptions::read).expect("is valid");
    assert_eq!(options.runtime.component, Component::Observer);
    assert!(!options.node_name.is_empty());
    assert_eq!(options.engine, EngineChoice::Auto);
    assert_eq!(options.endpoints[0].socket, Path::new("/var/run/containerd/containerd.sock"));
    assert_eq!(options.proc_root_path, Path::new("/proc"));
    assert_eq!(options.poll_interval, Duration::from_secs(2));
    let collect = &options.collect;
    assert!(collect.loaded_libraries);
    assert_eq!((collect.libraries_max, collect.library_bytes_max), (256, 32 << 20));
    assert_eq!((collect.hash_bytes_max, collect.entrypoint_arguments_max), (64_000_000, 32));
    let buffer = &options.buffer;
    assert_eq!(buffer.path, Path::new("/var/run/zastava/runtime-events"));
    assert_eq!((buffer.disk_bytes_max, buffer.memory_events_max), (64 << 20, 2048));
    let publish = &options.publish;
    assert_eq!((publish.batch_events_max, publish.batch_bytes_max), (32, 1 << 20));
    assert_eq!(publish.flush_interval, Duration::from_secs(2));
    assert_eq!(
        (publish.backoff_initial, publish.backoff_max),
        (Duration::from_secs(1), Duration::from_secs(30))
    );
    assert_eq!((publish.events_per_second, publish.burst), (50, 200));
    assert_eq!(publish.kind_style, KindStyle::Pascal);
    assert_eq!(options.backend.request_timeout, Duration::from_secs(5));
    assert_eq!(options.health.listen.port(), 9101);
}

#[test]
fn three_mistakes_are_three_faults_with_line_and_key() {
    let text = format!(
        "{MINIMAL}    pollInterval: often\n    publishBatchSize: 300\n    collect:\n      loadedLibraries: true\n"
    );
    assert_eq!(
        faults(&text),
        [
            "zastava.yaml:11: zastava.observer.pollInterval: expected a time such as 500ms, 2s, 5m or 24h, a year at most; a bare number is seconds, found \"often\"",
            "zastava.yaml:14: zastava.observer.collect.loadedLibraries: unknown key",
            "zastava.yaml:12: zastava.observer.publishBatchSize: expected 1 to 256, found \"300\"",
        ]
    );
}

#[test]
fn what_is_not_built_is_refused_and_not_faked() {
    let text = format!(
        "{MINIMAL}    engine: podman\n    runtimes:\n      - {{engine: lxc, endpoint: unix:///run/lxc.sock}}\n      - podman\n      - {{engine: containerd, endpoint: tcp://x}}\n    posture: {{enabled: often}}\n"
    );
    let found = faults(&text);
    let wanted = [
        "zastava.yaml:11: zastava.observer.engine: expected auto, containerd, cri-o, docker or host, found \"podman\"",
        "zastava.yaml:13: zastava.observer.runtimes[0].engine: expected auto, containerd, cri-o, docker or host, found \"lxc\"",
        "zastava.observer.runtimes: \"podman\" is no section",
        "zastava.yaml:15: zastava.observer.runtimes[2].endpoint: expected a socket such as unix:///",
        "zastava.yaml:16: zastava.observer.posture.enabled: expected true or false, found \"often\"",
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found}\n{wanted}");
    }
}

#[test]
fn the_sample_file_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample.yaml");
    let text = std::fs::read_to_string(&path).expect("the sample is there");
    let (_, sample) = parse(&text).read(ObserverOptions::read).unwrap_or_else(|faults| panic!("{faults}"));
    let (_, minimal) = parse(MINIMAL).read(ObserverOptions::read).expect("is valid");
    // These the file can only show in a comment, or as a list that has no other text.
    let not_shown = ["zastava.observer.nodeName", "zastava.observer.runtimes"];
    for default in minimal.iter().filter(|setting| setting.origin == Origin::Default) {
        if not_shown.contains(&default.key.as_str()) {
            continue;
        }
        let shown = sample.iter().find(|setting| setting.key == default.key).expect("every key is read");
        assert_ne!(shown.origin, Origin::Default, "{} is not in the sample", shown.key);
        assert_eq!(shown.value, default.value, "{}", shown.key);
    }
}
