//! The built program, as an operator runs it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use zastava_buffer::{Buffer, BufferOptions, Entry, Kind, KindPolicy, WhenFull, block_on};
use zastava_core::telemetry::METRICS;

use crate::support::{Process, QUICK, Stage, sleep_path, within};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_zastava-observer");
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, killed with the test.
pub(crate) struct Observer {
    pub(crate) child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
    pub(crate) address: String,
}

impl Observer {
    pub(crate) fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[("zastava.observer.engine", "host")])
    }

    pub(crate) fn start_with(stage: &Stage, settings: &[(&str, &str)]) -> Self {
        Self::start_under(stage, settings, &[])
    }

    /// The same, by a program that starts others, such as `setpriv`.
    pub(crate) fn start_under(stage: &Stage, settings: &[(&str, &str)], starter: &[&str]) -> Self {
        let path = stage.directory.path().join("zastava.yaml");
        std::fs::write(&path, stage.yaml()).expect("can be written");
        let mut words = starter.iter().copied().chain([PROGRAM]);
        let mut command = Command::new(words.next().expect("ends with the program"));
        command.args(words).arg("--config").arg(path).stdout(Stdio::piped());
        for (key, value) in QUICK.iter().chain(settings) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child = command.spawn().expect("can be started");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("every line is JSON"));
            }
        });
        let mut observer = Self { child, lines, seen: Vec::new(), address: String::new() };
        let line = observer.line("probes and metrics are answered");
        observer.address = line["address"].as_str().expect("names the address").to_owned();
        observer
    }

    /// The first line with that message, read so far or still to come.
    pub(crate) fn line(&mut self, message: &str) -> Value {
        loop {
            if let Some(line) = self.seen.iter().find(|line| line["message"] == message) {
                return line.clone();
            }
            let next = self.lines.recv_timeout(PATIENCE);
            self.seen.push(next.unwrap_or_else(|_| panic!("no line {message:?} in {:#?}", self.seen)));
        }
    }

    pub(crate) fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("takes it");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("is HTTP");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("has a status"), body.to_owned())
    }

    pub(crate) fn accounting(&self) -> Value {
        let status: Value = serde_json::from_str(&self.ask("/status").1).expect("is JSON");
        status["observer"]["accounting"].clone()
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("runs");
        self.child.wait().expect("ends")
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_an_outage_it_delivers_every_event_once_after_it() {
    let stage = Stage::start().await;
    stage.sandbox.scanner_offline().await;
    let mut first = Observer::start(&stage);
    // Authority is there; the second run may use the token that this one leaves on disk.
    assert_eq!(first.line("Issued runtime OpTok")["scope"], "authority.token.issue");
    let child = Process::sleep(sleep_path());
    // There is nothing to await: the program shows its accounting when it is asked.
    let mut buffered = 0;
    within(async {
        while buffered < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            buffered = first.accounting()["buffered"].as_u64().expect("is a number");
        }
    })
    .await;
    first.child.kill().expect("runs");
    first.child.wait().expect("ends");
    let waiting = waiting_ids(&stage.directory.path().join("sandbox/runtime-events"));
    assert!(waiting.len() as u64 >= buffered, "{} of {buffered}", waiting.len());

    stage.sandbox.scanner_online().await.expect("the port is still ours");
    let mut second = Observer::start(&stage);
    let pid = child.pid();
    within(stage.sandbox.wait_until(|_, events| {
        waiting.iter().all(|id| events.iter().any(|found| found.event.event_id == *id))
            && events
                .iter()
                .any(|found| found.event.process.as_ref().is_some_and(|process| process.pid == pid))
    }))
    .await;
    let accepted = stage.sandbox.accepted();
    let ids: BTreeSet<&String> = accepted.iter().map(|found| &found.event.event_id).collect();
    assert_eq!(ids.len(), accepted.len(), "no event is taken twice");

    // Scanner's answer reaches the accounting shortly after the event reaches Scanner.
    within(async {
        while second.accounting()["delivered"] == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    check_probes(&second).await;
    check_metrics(&second.ask("/metrics").1);
    assert!(second.terminate().success());
    let end = second.line("the observer has ended");
    let accounting = end["accounting"].as_str().expect("is logged");
    let accounting: Value = serde_json::from_str(accounting).expect("is JSON");
    assert_eq!(accounting["dropped"], serde_json::json!({}), "{accounting}");
    assert!(!second.seen.iter().any(|line| line.to_string().contains("eyJ")), "no token is logged");
}

/// The ids of the events that wait in a buffer that nobody holds, in both of its lanes.
fn waiting_ids(path: &Path) -> Vec<String> {
    let mut options = BufferOptions::default();
    options.batches_max = 64;
    options.policies.insert(Kind(0x80), KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    let opened = Buffer::open(path, options);
    let (producer, mut consumer, _) = opened.expect("the lock died with its holder");
    let id =
        |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("is JSON")["event"]["eventId"].clone();
    let mut batches = Vec::new();
    while !consumer.is_drained() {
        batches.push(block_on(consumer.next_batch(usize::MAX, usize::MAX)).expect("something waits"));
    }
    let ids = batches.iter().flat_map(|batch| batch.entries()).map(|entry| match entry {
        Entry::Record(record) => id(&record.bytes).as_str().expect("has an id").to_owned(),
        other => panic!("nothing is lost: {other:?}"),
    });
    let ids = ids.collect();
    drop(batches);
    producer.close(Duration::from_secs(60));
    ids
}

async fn check_probes(observer: &Observer) {
    assert_eq!(observer.ask("/healthz/live").0, 200);
    // Another test may let more files hang than the observer bears.
    within(async {
        while observer.ask("/healthz/ready").0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let status: Value = serde_json::from_str(&observer.ask("/status").1).expect("is JSON");
    assert_eq!(status["program"], "zastava-observer");
    assert_eq!(status["observer"]["scannerFailure"], Value::Null, "{status}");
    assert_eq!(status["observer"]["engine"], "host");
}

/// Every series is of a metric in the committed list.
fn check_metrics(text: &str) {
    let known = |series: &str| {
        let name = series.split(['{', ' ']).next().unwrap_or_default();
        let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
        suffixes.iter().any(|suffix| METRICS.iter().any(|metric| format!("{}{suffix}", metric.name) == name))
    };
    let unknown: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !known(line)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for wanted in [
        "zastava_runtime_events_total{",
        "zastava_buffer_events ",
        "zastava_observer_source_up{engine=\"host\"} 1",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
}

#[test]
fn a_faulty_configuration_ends_the_program_with_78_and_every_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("zastava.yaml");
    std::fs::write(&path, "zastava:\n  observer:\n    engine: podman\n    polInterval: 2s\n")
        .expect("can be written");
    let output =
        Command::new(PROGRAM).arg("--config").arg(&path).args(["config", "check"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr);
    for wanted in [
        "zastava.runtime.tenant: missing",
        "zastava.yaml:3: zastava.observer.engine: expected auto, containerd, cri-o, docker or host",
        "zastava.yaml:4: zastava.observer.polInterval: unknown key; did you mean pollInterval?",
        "zastava.observer.backend.baseAddress: missing",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalidating_reports_whether_there_was_a_token() {
    let stage = Stage::start().await;
    let path = stage.directory.path().join("zastava.yaml");
    std::fs::write(&path, stage.yaml()).expect("can be written");
    let output = Command::new(PROGRAM)
        .arg("--config")
        .arg(&path)
        .args(["invalidate-op-token", "--audience", "scanner"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_nodes_mounts_it_runs_and_names_each() {
    let stage = Stage::start().await;
    let nowhere = stage.directory.path().join("nowhere").display().to_string();
    let observer = Observer::start_with(
        &stage,
        &[
            ("zastava.observer.engine", "containerd"),
            ("zastava.observer.procRootPath", &nowhere),
            ("zastava.observer.runtimeStatePath", &nowhere),
        ],
    );
    let status: Value = within(async {
        loop {
            let status: Value = serde_json::from_str(&observer.ask("/status").1).expect("is JSON");
            if status["mounts"].is_object() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for part in ["mounts", "selfTest"] {
        let missing = status[part]["proc"]["missing"].as_str();
        assert!(missing.is_some_and(|missing| missing.contains(&nowhere)), "{part}: {status}");
    }
    // Nothing that is built reads the engine's images and layers.
    assert!(status["mounts"]["state"].is_null(), "{status}");
    assert_eq!(status["mounts"]["scratch"], "ok");
    assert_eq!(observer.ask("/healthz/live").0, 200);
    let metrics = observer.ask("/metrics").1;
    assert!(metrics.contains("zastava_observer_mount_up{mount=\"proc\"} 0"), "{metrics}");
    assert!(metrics.contains("zastava_observer_mount_up{mount=\"scratch\"} 1"), "{metrics}");
}
