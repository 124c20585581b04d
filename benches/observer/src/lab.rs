//! One containerd, one Scanner, one observer program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_sandbox::{Sandbox, SandboxOptions};

use crate::containerd::Containerd;
use crate::process;

/// Where the observer answers probes.
const HEALTH: &str = "127.0.0.1:19101";
/// What Scanner does not get within this time is taken for lost.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Lab {
    program: PathBuf,
    pub(crate) containerd: Containerd,
    pub(crate) scanner: Sandbox,
    observer: Option<Child>,
    directory: TempDir,
}

/// What Scanner was told of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) starts: usize,
    pub(crate) stops: usize,
}

impl Lab {
    pub(crate) async fn start(program: &Path, programs: Option<&Path>, snapshotter: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let containerd = Containerd::start(directory.path().join("containerd"), programs, snapshotter).await;
        let scanner =
            Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.expect("starts");
        let runtimes = format!(
            "  observer:\n    engine: containerd\n    runtimes: [{{engine: containerd, endpoint: \"unix://{}\"}}]\n",
            containerd.socket().display()
        );
        let yaml = scanner.configuration("acme").replacen("  observer:\n", &runtimes, 1);
        fs::write(directory.path().join("zastava.yaml"), yaml).expect("can be written");
        Self { program: program.to_owned(), containerd, scanner, observer: None, directory }
    }

    /// Starts the observer and waits until it is ready.
    pub(crate) async fn observe(&mut self) -> u32 {
        self.observe_by("containerd").await
    }

    /// The same with another engine.
    pub(crate) async fn observe_by(&mut self, engine: &str) -> u32 {
        let log =
            fs::File::options().create(true).append(true).open(self.directory.path().join("observer.log"));
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(self.directory.path().join("zastava.yaml"))
            .args(["--set", "zastava.observer.health.listen=127.0.0.1:19101"])
            .args(["--set", "zastava.observer.nodeName=node-1"])
            .args(["--set", &format!("zastava.observer.engine={engine}")])
            .stdout(log.expect("can be made"))
            .stderr(Stdio::inherit())
            .spawn()
            .expect("can be started");
        let pid = child.id();
        self.observer = Some(child);
        let start = Instant::now();
        while !ask("/healthz/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(start.elapsed() < PATIENCE, "the observer does not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pid
    }

    pub(crate) fn kill_observer(&mut self) {
        if let Some(mut child) = self.observer.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The observer's metrics as they are shown.
    pub(crate) fn metrics(&self) -> String {
        ask("/metrics").unwrap_or_default()
    }

    /// The start event of each container, by its id.
    pub(crate) fn starts(&self) -> BTreeMap<String, RuntimeEvent> {
        let accepted = self.scanner.accepted().into_iter().map(|envelope| envelope.event);
        let starts = accepted.filter(|event| event.kind == EventKind::ContainerStart);
        starts.filter_map(|event| Some((container(&event)?, event))).collect()
    }

    pub(crate) fn told(&self) -> BTreeMap<String, Told> {
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        for event in self.scanner.accepted().into_iter().map(|envelope| envelope.event) {
            let Some(id) = container(&event) else { continue };
            let told = told.entry(id).or_default();
            match event.kind {
                EventKind::ContainerStart => told.starts += 1,
                EventKind::ContainerStop => told.stops += 1,
                _ => {}
            }
        }
        told
    }

    /// Waits until Scanner was told what `is_enough` wants, or no longer.
    pub(crate) async fn until(&self, is_enough: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_enough(self) && start.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn end(mut self) {
        if let Some(mut child) = self.observer.take() {
            process::signal(child.id(), Signal::TERM);
            let _ = child.wait();
        }
        let log = fs::read_to_string(self.directory.path().join("observer.log")).unwrap_or_default();
        if let Some(line) = log.lines().rev().find(|line| line.contains("the observer has ended")) {
            println!("{line}");
        }
        self.scanner.stop().await;
    }
}

fn container(event: &RuntimeEvent) -> Option<String> {
    event.workload.container_id.as_deref()?.strip_prefix("containerd://").map(str::to_owned)
}

/// The whole answer to a request, with its head; `None` if nobody listens.
fn ask(path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(HEALTH).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
