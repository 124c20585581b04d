//! The program itself, against the sandbox's Authority and Scanner.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::image::Digest;
use zastava_sandbox::{Fault, FaultKind, Route, Sandbox, SandboxOptions};

use super::scanner::{SIGNED, UNSIGNED, WARNED, pod_review};
use super::web::{Connection, SecretVolume};

/// A sandbox and a webhook that is configured by it.
pub(crate) struct Installation {
    pub(crate) sandbox: Sandbox,
    pub(crate) webhook: Process,
    pub(crate) address: SocketAddr,
    probes: SocketAddr,
    _directory: tempfile::TempDir,
}

/// The running program with its standard output, line by line.
pub(crate) struct Process {
    child: Child,
    lines: UnboundedReceiver<Value>,
}

impl Process {
    fn start(configuration: &std::path::Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"))
            .arg("--config")
            .arg(configuration)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = sender.send(value);
            }
        });
        Self { child, lines }
    }

    /// The next line for which `wanted` holds; earlier ones are skipped.
    async fn line(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.lines.recv().await {
            if wanted(&line) {
                return line;
            }
        }
        panic!("the program ended before it said so");
    }

    async fn said(&mut self, message: &str) -> Value {
        self.line(|line| line["message"] == message).await
    }

    pub(crate) async fn decision(&mut self) -> AdmissionDecisionEnvelope {
        let line = self.line(|line| line.get("decision").is_some()).await;
        serde_json::from_value(line).unwrap()
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    async fn exit_code(mut self) -> Option<i32> {
        // The output's end is the program's end, but for the moment that the system takes.
        while self.lines.recv().await.is_some() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    pub(crate) async fn start(settings: &[&str]) -> Self {
        Self::start_beside(settings, |_| ()).await
    }

    /// The same beside a sandbox that was told something before.
    async fn start_beside(settings: &[&str], tell: impl FnOnce(&Sandbox)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
        tell(&sandbox);
        let configuration = sandbox.write_configuration("acme").unwrap();
        let mut arguments = vec![
            "--set=zastava.webhook.listen=127.0.0.1:0",
            "--set=zastava.webhook.health.listen=127.0.0.1:0",
        ];
        arguments.extend(settings);
        let mut webhook = Process::start(&configuration, &arguments);
        let answered = webhook.said("probes and metrics are answered").await;
        let probes = answered["address"].as_str().unwrap().parse().unwrap();
        let listening = webhook.said("reviews are taken").await;
        let address = listening["listen"].as_str().unwrap().parse().unwrap();
        Self { sandbox, webhook, address, probes, _directory: directory }
    }

    async fn is_ready(&self) -> bool {
        let mut stream = TcpStream::connect(self.probes).await.unwrap();
        stream
            .write_all(b"GET /healthz/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.starts_with("HTTP/1.1 200 ")
    }

    async fn until_ready(&self) {
        while !self.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn ca_bundle(&self) -> PathBuf {
        self.sandbox.files().ca_bundle.clone()
    }

    async fn connect(&self) -> Connection {
        Connection::open(self.address, &self.ca_bundle()).await.unwrap()
    }

    async fn review(&self, image: &str) -> Value {
        let mut connection = self.connect().await;
        connection.review("/validate?timeout=10s", &pod_review(&[image])).await.unwrap().response()
    }
}

fn no_tokens(times: u32) -> impl FnOnce(&Sandbox) {
    let kind = FaultKind::Status { status: 503, retry_after: None };
    move |sandbox| sandbox.misbehave(Fault { route: Route::Token, kind, times })
}

/// Installed together, Authority may be there a second later.
#[tokio::test]
async fn it_is_ready_when_it_has_a_token() {
    let mut installation = Installation::start_beside(&[], no_tokens(3)).await;
    installation.webhook.said("OpTok could not be issued").await;
    assert!(!installation.is_ready().await);
    installation.webhook.said("Issued runtime OpTok").await;
    installation.until_ready().await;
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
}

/// There may be verdicts in the cache, and namespaces that are open.
#[tokio::test]
async fn without_authority_it_is_ready_in_the_end() {
    let installation = Installation::start_beside(&[], no_tokens(1_000)).await;
    assert!(!installation.is_ready().await);
    tokio::time::timeout(Duration::from_secs(60), installation.until_ready())
        .await
        .expect("after ten seconds");
}

#[tokio::test]
async fn signed_is_allowed_unsigned_is_denied_and_each_review_is_one_line() {
    let mut installation = Installation::start(&[]).await;
    for (image, allowed) in [(SIGNED, true), (UNSIGNED, false), (WARNED, true), (SIGNED, true)] {
        let response = installation.review(image).await;
        assert_eq!(response["allowed"], allowed, "{response}");
        assert_eq!(response.get("warnings").is_some(), image == WARNED);
        if !allowed {
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(UNSIGNED) && message.contains("not signed"), "{message}");
        }
        let line = installation.webhook.decision().await.decision;
        assert_eq!(line.decision.to_string(), if allowed { "Allow" } else { "Deny" });
        assert_eq!(line.images[0].name, image);
        assert_eq!(line.images[0].signed, image != UNSIGNED);
    }
    let counts = installation.sandbox.counts();
    assert_eq!(counts.policy_requests, 3, "the fourth answer is remembered");
    assert_eq!(counts.tokens_issued, 1);
}

#[tokio::test]
async fn scanner_offline_denies_unless_the_namespace_fails_open() {
    for (settings, allowed) in
        [(&[][..], false), (&["--set=zastava.webhook.admission.failOpenNamespaces=other,shop"], true)]
    {
        let mut installation = Installation::start(settings).await;
        installation.sandbox.scanner_offline().await;
        let response = installation.review(SIGNED).await;
        assert_eq!(response["allowed"], allowed, "{response}");
        assert!(response.to_string().contains("scanner cannot be reached"), "{response}");
        assert_eq!(response["auditAnnotations"].get("failOpen").is_some(), allowed);
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.annotations["source"], if allowed { "fail-open" } else { "fail-closed" });
        installation.sandbox.scanner_online().await.unwrap();
        let response = installation.review(UNSIGNED).await;
        assert_eq!(response["allowed"], false);
    }
}

#[tokio::test]
async fn authority_that_gives_no_token_is_not_called_a_silent_scanner() {
    for hangs in [false, true] {
        let mut installation = Installation::start(&[]).await;
        assert_eq!(installation.review(SIGNED).await["allowed"], true);
        match hangs {
            true => {
                let kind = FaultKind::Delay(Duration::from_secs(600));
                installation.sandbox.misbehave(Fault { route: Route::Token, kind, times: 100 });
            }
            false => installation.sandbox.authority_offline().await,
        }
        let configuration = installation.sandbox.write_configuration("acme").unwrap();
        let process = Process::start(&configuration, &["invalidate-op-token", "--audience", "scanner"]);
        assert_eq!(process.exit_code().await, Some(0));
        let response = installation.review(WARNED).await;
        assert_eq!(response["allowed"], false, "{response}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("no token from authority, so scanner was not asked"), "{message}");
        assert!(message.contains("(rule no-verdict)"), "{message}");
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.images[0].name, SIGNED);
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.annotations["source"], "fail-closed");
    }
}

#[tokio::test]
async fn restarted_scanner_costs_no_review() {
    let installation = Installation::start(&[]).await;
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
    // The connection that is kept open ends behind the webhook's back.
    installation.sandbox.scanner_offline().await;
    installation.sandbox.scanner_online().await.unwrap();
    assert_eq!(installation.review(WARNED).await["allowed"], true);
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind: FaultKind::Reset, times: 1 });
    let other = super::scanner::pinned("registry.sandbox.local/demo/other", '4');
    let message = installation.review(&other).await["status"]["message"].to_string();
    assert!(message.contains("not signed"), "{message}");
}

#[tokio::test]
async fn late_scanner_is_not_waited_for() {
    let mut installation = Installation::start(&[]).await;
    let kind = FaultKind::Delay(Duration::from_secs(600));
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind, times: 1 });
    let mut connection = installation.connect().await;
    let answer = connection.review("/validate?timeout=1s", &pod_review(&[SIGNED])).await.unwrap();
    let message = answer.response()["status"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no verdict within"), "{message}");
    assert_eq!(installation.webhook.decision().await.decision.annotations["source"], "fail-closed");
}

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
    let address = webhook.said("reviews are taken").await["listen"].as_str().unwrap().parse().unwrap();
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
async fn certificate_that_the_bundle_does_not_vouch_for_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
    let bundle = directory.path().join("other-ca.pem");
    std::fs::write(&bundle, super::web::self_signed().0).unwrap();
    let settings = [
        "--set=zastava.webhook.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.health.listen=127.0.0.1:0".to_owned(),
        format!("--set=zastava.webhook.tls.caBundlePath={}", bundle.display()),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
    let told = webhook
        .said("serving certificate does not hold against the CA bundle; API servers may refuse it")
        .await;
    assert_eq!(told["path"], bundle.to_str().unwrap());
    webhook.said("reviews are taken").await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight() {
    let mut installation = Installation::start(&["--set=zastava.webhook.drainSeconds=0"]).await;
    let kind = FaultKind::Delay(Duration::from_secs(1));
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind, times: 1 });
    let mut connection = installation.connect().await;
    let review = pod_review(&[SIGNED]);
    let in_flight = tokio::spawn(async move { connection.review("/validate?timeout=10s", &review).await });
    installation.sandbox.wait_until(|counts, _| counts.faults_shown > 0).await;
    installation.webhook.terminate();
    installation.webhook.said("shutting down").await;
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(answer.response()["allowed"], true);
    assert!(answer.closes());
    assert_eq!(installation.webhook.decision().await.decision.images[0].name, SIGNED);
    assert_eq!(installation.webhook.exit_code().await, Some(0));
}

#[tokio::test]
async fn invalidated_token_is_replaced_at_the_next_question() {
    let installation = Installation::start(&[]).await;
    let configuration = installation.sandbox.write_configuration("acme").unwrap();
    let invalidate = |audience: &'static str| {
        let configuration = configuration.clone();
        async move {
            let process = Process::start(&configuration, &["invalidate-op-token", "--audience", audience]);
            process.exit_code().await
        }
    };
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
    assert_eq!(invalidate("scanner").await, Some(0));
    assert_eq!(invalidate("nobody").await, Some(3), "nothing to do");
    assert_eq!(installation.review(WARNED).await["allowed"], true);
    assert_eq!(installation.sandbox.counts().tokens_issued, 2);
}

#[tokio::test]
async fn faulty_configuration_ends_with_78_and_a_taken_port_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zastava.yaml");
    std::fs::write(&path, "zastava: {webhook: {listne: x}}").unwrap();
    assert_eq!(Process::start(&path, &["config", "check"]).exit_code().await, Some(78));
    let installation = Installation::start(&[]).await;
    let configuration = installation.sandbox.write_configuration("acme").unwrap();
    let listen = format!("--set=zastava.webhook.listen={}", installation.address);
    let settings = [listen.as_str(), "--set=zastava.webhook.health.listen=127.0.0.1:0"];
    let mut second = Process::start(&configuration, &settings);
    let told = second.said("the webhook cannot go on").await;
    assert!(told["error"].as_str().unwrap().starts_with("cannot listen on 127.0.0.1"), "{told}");
    assert_eq!(second.exit_code().await, Some(1));
}
