//! The serving certificate of the running program.

use serde_json::Value;
use zastava_core::image::Digest;
use zastava_sandbox::{Sandbox, SandboxOptions};

use super::installation::Process;
use super::scanner::{SIGNED, pod_review};
use super::web::{Connection, SecretVolume, self_signed};

#[tokio::test]
async fn swapped_certificate_is_served_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
    let issue = || {
        let (chain, key) = sandbox.issue_server_certificate(&["localhost"]);
        (chain, key.expose().to_owned())
    };
    let (mut chain, mut key) = issue();
    let mut volume = SecretVolume::new(directory.path(), &chain, &key);
    let path = |name: &str| format!("{}/{name}", volume.directory.display());
    let settings = [
        "--set=zastava.webhook.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.health.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.tls.pollInterval=50ms".to_owned(),
        format!("--set=zastava.webhook.tls.caBundlePath={}", sandbox.files().ca_bundle.display()),
        format!("--set=zastava.webhook.tls.certificatePath={}", path("tls.crt")),
        format!("--set=zastava.webhook.tls.privateKeyPath={}", path("tls.key")),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
    let mut fingerprint = webhook.said("serving certificate taken").await["fingerprint"].clone();
    let address = webhook.said("listening for reviews").await["listen"].as_str().unwrap().parse().unwrap();
    let ca_bundle = sandbox.files().ca_bundle.clone();
    let served = || async {
        let connection = Connection::open(address, &ca_bundle).await.unwrap();
        Value::from(Digest::of(&connection.certificate).to_string())
    };
    let mut kept = Connection::open(address, &ca_bundle).await.unwrap();
    // Twice: a watch on the files themselves would see the first swap and miss the second.
    for _ in 0..2 {
        (chain, key) = issue();
        volume.swap(&chain, &key);
        let taken = webhook.said("serving certificate taken").await["fingerprint"].clone();
        assert_ne!(taken, fingerprint);
        fingerprint = taken;
        assert_eq!(served().await, fingerprint);
    }
    let (other_chain, _) = issue();
    for (chain, key) in [(other_chain.as_str(), key.as_str()), ("", ""), (&chain, "nonsense")] {
        volume.swap(chain, key);
        let refused = webhook.said("serving certificate not taken; the old one stays").await;
        assert_eq!(refused["level"], "WARN");
        assert_eq!(served().await, fingerprint);
    }
    (chain, key) = issue();
    volume.swap(&chain, &key);
    let taken = webhook.said("serving certificate taken").await["fingerprint"].clone();
    assert_eq!(served().await, taken);
    let answer = kept.review("/validate", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true, "a connection outlives every swap");
}

#[tokio::test]
async fn certificate_that_the_bundle_refutes_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
    let bundle = directory.path().join("other-ca.pem");
    std::fs::write(&bundle, self_signed().0).unwrap();
    let settings = [
        "--set=zastava.webhook.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.health.listen=127.0.0.1:0".to_owned(),
        format!("--set=zastava.webhook.tls.caBundlePath={}", bundle.display()),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
    let warning = webhook
        .said("serving certificate does not hold against the CA bundle; API servers may refuse it")
        .await;
    assert_eq!(warning["path"], bundle.to_str().unwrap());
    webhook.said("listening for reviews").await;
}
