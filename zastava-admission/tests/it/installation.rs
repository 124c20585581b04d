//! The program as a process, beside a sandbox's Authority and Scanner.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_sandbox::{Policy, Sandbox, SandboxOptions};

use super::asking::parts;
use super::scanner::pod_review;
use super::web::{Client, Connection};

/// A sandbox, and a webhook with the sandbox's configuration.
pub(crate) struct Installation {
    pub(crate) sandbox: Sandbox,
    pub(crate) webhook: Process,
    pub(crate) address: SocketAddr,
    pub(crate) probes: SocketAddr,
    _directory: TempDir,
}

/// The running program with its standard output, line by line.
pub(crate) struct Process {
    child: Child,
    lines: UnboundedReceiver<Value>,
}

impl Process {
    pub(crate) fn start(configuration: &Path, arguments: &[&str]) -> Self {
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

    pub(crate) async fn said(&mut self, message: &str) -> Value {
        self.line(|line| line["message"] == message).await
    }

    pub(crate) async fn decision(&mut self) -> AdmissionDecisionEnvelope {
        let line = self.line(|line| line.get("decision").is_some()).await;
        serde_json::from_value(line).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        // The output ends just before the program does.
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

    /// The same beside a sandbox that was prepared before.
    pub(crate) async fn start_beside(settings: &[&str], prepare: impl FnOnce(&Sandbox)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SandboxOptions::new(directory.path().join("sandbox"));
        Self::start_with(directory, options, settings, prepare).await
    }

    /// The same beside a sandbox whose policy has these images.
    pub(crate) async fn start_judging(images: &str, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SandboxOptions::new(directory.path().join("sandbox"));
        options.policy = Policy::from_yaml(
            &format!("zastava: {{policy: {{images: [{images}]}}}}"),
            Path::new("policy.yaml"),
        )
        .unwrap();
        Self::start_with(directory, options, settings, |_| ()).await
    }

    async fn start_with(
        directory: TempDir,
        options: SandboxOptions,
        settings: &[&str],
        prepare: impl FnOnce(&Sandbox),
    ) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        prepare(&sandbox);
        let configuration = sandbox.write_configuration("acme").unwrap();
        let mut arguments = vec![
            "--set=zastava.webhook.listen=127.0.0.1:0",
            "--set=zastava.webhook.health.listen=127.0.0.1:0",
        ];
        arguments.extend(settings);
        let mut webhook = Process::start(&configuration, &arguments);
        let answered = webhook.said("probes and metrics are answered").await;
        let probes = answered["address"].as_str().unwrap().parse().unwrap();
        let listening = webhook.said("listening for reviews").await;
        let address = listening["listen"].as_str().unwrap().parse().unwrap();
        Self { sandbox, webhook, address, probes, _directory: directory }
    }

    pub(crate) async fn is_ready(&self) -> bool {
        get(self.probes, "/healthz/ready").await.starts_with("HTTP/1.1 200 ")
    }

    pub(crate) async fn until_ready(&self) {
        while !self.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn ca_bundle(&self) -> PathBuf {
        self.sandbox.files().ca_bundle.clone()
    }

    /// Runs a command of the program with the installation's configuration. It may have an input.
    pub(crate) async fn run(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let configuration = self.sandbox.write_configuration("acme").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"));
        command.args(arguments).arg("--config").arg(configuration);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // A command that does not read it may be gone.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        parts(&output.await.unwrap())
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address, &self.ca_bundle()).await.unwrap()
    }

    pub(crate) async fn connect_as(&self, client: &Client) -> Connection {
        client.open(self.address, &self.ca_bundle()).await.unwrap()
    }

    pub(crate) async fn review(&self, image: &str) -> Value {
        let mut connection = self.connect().await;
        connection.review("/validate?timeout=10s", &pod_review(&[image])).await.unwrap().response()
    }
}

/// What the program's probes listener answers, header and body.
pub(crate) async fn get(probes: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(probes).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
