//! The serving certificate of the running program.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use zastava_core::image::Digest;
use zastava_sandbox::{Sandbox, SandboxOptions};

use super::acceptance::{NAME, authority, issued, write};
use super::installation::Process;
use super::scanner::{SIGNED, pod_review};
use super::web::{Client, Connection, SecretVolume};
use super::webhook::Webhook;

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

/// A running webhook with a certificate of its own making.
struct Serving {
    webhook: Process,
    probes: std::net::SocketAddr,
    address: std::net::SocketAddr,
    directory: tempfile::TempDir,
    _sandbox: Sandbox,
}

impl Serving {
    async fn start(chain: &str, key: &str, bundle: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
        let files = directory.path().join("serving");
        write(&files, chain, key, bundle);
        let file = |name: &str| files.join(name).display().to_string();
        let settings = [
            "--set=zastava.webhook.listen=127.0.0.1:0".to_owned(),
            "--set=zastava.webhook.health.listen=127.0.0.1:0".to_owned(),
            "--set=zastava.webhook.tls.pollInterval=50ms".to_owned(),
            format!("--set=zastava.webhook.tls.serverNames={NAME}"),
            format!("--set=zastava.webhook.tls.caBundlePath={}", file("ca.crt")),
            format!("--set=zastava.webhook.tls.certificatePath={}", file("tls.crt")),
            format!("--set=zastava.webhook.tls.privateKeyPath={}", file("tls.key")),
        ];
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
        let probes = webhook.said("probes and metrics are answered").await;
        let probes = probes["address"].as_str().unwrap().parse().unwrap();
        let listening = webhook.said("listening for reviews").await;
        let address = listening["listen"].as_str().unwrap().parse().unwrap();
        Self { webhook, probes, address, directory, _sandbox: sandbox }
    }

    fn replace(&self, file: &str, text: &str) {
        // In one step, as a Secret volume does.
        let path = self.directory.path().join("serving").join(file);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    async fn get(&self, path: &str) -> String {
        super::installation::get(self.probes, path).await
    }

    /// Waits for the readiness page to say this.
    async fn readiness(&self, words: &str) -> String {
        loop {
            let page = self.get("/healthz/ready").await;
            if page.contains(words) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const REFUSED: &str = "[-] certificate failed: API servers refuse the serving certificate: ";

#[tokio::test]
async fn a_webhook_that_api_servers_would_refuse_is_not_ready_and_says_why() {
    let (ca, other) = (authority(), authority());
    let wrong = issued(&ca, &["zastava-webhook.other.svc"], |_| ());
    let mut serving = Serving::start(&wrong.pem, &wrong.key(), &ca.pem).await;
    let page = serving.readiness(REFUSED).await;
    assert!(
        page.starts_with("HTTP/1.1 503 ") && page.contains(&format!("it does not name {NAME}")),
        "{page}"
    );
    assert!(serving.get("/status").await.contains("API servers refuse the serving certificate"));
    let gauge = |value: u8| format!("zastava_certificate_accepted{{certificate=\"webhook\"}} {value}.0");
    assert!(serving.get("/metrics").await.contains(&gauge(0)));

    // It recovers without a restart.
    let good = issued(&ca, &[NAME], |_| ());
    serving.replace("tls.key", &good.key());
    serving.replace("tls.crt", &good.pem);
    serving.webhook.said("API servers accept the serving certificate again").await;
    serving.readiness("[+] certificate ok").await;
    assert!(serving.get("/metrics").await.contains(&gauge(1)));

    // What API servers would refuse does not replace what they accept, until they know its CA.
    let next = issued(&other, &[NAME], |_| ());
    serving.replace("tls.key", &next.key());
    serving.replace("tls.crt", &next.pem);
    let reason = loop {
        let line = serving.webhook.said("serving certificate not taken; the old one stays").await;
        let error = line["error"].as_str().unwrap().to_owned();
        if error.contains("no certificate of the CA bundle signed it") {
            break error;
        }
    };
    assert!(!reason.contains("BEGIN"));
    serving.readiness("[+] certificate ok").await;
    serving.replace("ca.crt", &format!("{}{}", ca.pem, other.pem));
    serving.webhook.said("serving certificate taken").await;
    serving.readiness("[+] certificate ok").await;

    // The CA of the served certificate is registered no longer.
    serving.replace("ca.crt", &ca.pem);
    serving.readiness(REFUSED).await;
}

#[tokio::test]
async fn a_webhook_that_is_not_ready_still_answers_who_asks() {
    let (ca, other) = (authority(), authority());
    let good = issued(&other, &["localhost"], |_| ());
    let serving = Serving::start(&good.pem, &good.key(), &ca.pem).await;
    serving.readiness(REFUSED).await;
    let trusted = serving.directory.path().join("trusted.pem");
    std::fs::write(&trusted, &other.pem).unwrap();
    let mut connection = Connection::open(serving.address, &trusted).await.unwrap();
    let answer = connection.review("/validate", &pod_review(&[SIGNED])).await.unwrap();
    assert_eq!(answer.response()["allowed"], true);
}

/// An authority of client certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "clients");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn client(&self) -> Client {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["api-server".to_owned()]).unwrap();
        params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Client { identity: Some((certificate.pem(), key.serialize_pem())), ..Client::default() }
    }
}

/// Whether the client gets an answer. With TLS 1.3 a client learns at its first read that it was refused.
async fn is_served(webhook: &Webhook, client: &Client) -> bool {
    let Ok(mut connection) = client.open(webhook.address, &webhook.certificate).await else { return false };
    let answer = connection.review("/validate", &pod_review(&[SIGNED])).await;
    answer.is_ok_and(|answer| answer.response()["allowed"] == true)
}

#[tokio::test]
async fn only_clients_of_the_configured_authorities_are_served() {
    let (old, new) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("client-ca.crt");
    std::fs::write(&file, old.0.pem()).unwrap();
    let webhook = Webhook::start_in(directory, "").await;
    let (old_client, new_client, nobody) = (old.client(), new.client(), Client::default());
    assert!(is_served(&webhook, &old_client).await);
    assert!(!is_served(&webhook, &nobody).await && !is_served(&webhook, &new_client).await);
    assert_eq!(webhook.refused("client-certificate"), 2);
    // A bundle that cannot be read changes nothing; one with both authorities serves both; then the old one is over.
    let until = async |client: &Client, served: bool| {
        while is_served(&webhook, client).await != served {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    std::fs::write(&file, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_served(&webhook, &old_client).await && !is_served(&webhook, &nobody).await);
    std::fs::write(&file, old.0.pem() + &new.0.pem()).unwrap();
    until(&new_client, true).await;
    assert!(is_served(&webhook, &old_client).await && !is_served(&webhook, &nobody).await);
    std::fs::write(&file, new.0.pem()).unwrap();
    until(&old_client, false).await;
    assert!(is_served(&webhook, &new_client).await && !is_served(&webhook, &nobody).await);
}

/// What is not checked is said, once.
#[tokio::test]
async fn a_check_that_cannot_be_made_is_in_the_log() {
    let ca = authority();
    let good = issued(&ca, &[NAME], |_| ());
    let mut serving = Serving::start(&good.pem, &good.key(), &ca.pem).await;
    serving.readiness("[+] certificate ok").await;
    let bundle = serving.directory.path().join("serving/ca.crt");
    std::fs::remove_file(&bundle).unwrap();
    let line = serving.webhook.said("whether API servers know the signer is not checked").await;
    assert!(line["error"].as_str().unwrap().contains("ca.crt"), "{line}");
    serving.readiness("[+] certificate ok").await;
    serving.replace("ca.crt", &ca.pem);
    serving.webhook.said("whether API servers know the signer is checked").await;

    serving.replace("ca.crt", "nothing");
    let page = serving.readiness(REFUSED).await;
    assert!(page.contains("ca.crt holds no certificate"), "{page}");
}
