//! `status` and `dead-letters`, beside a running program.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use zastava_core::contract::EventKind;
use zastava_sandbox::{Fault, FaultKind, Route};

use crate::delivery::{event, left_behind_at};
use crate::program::{Observer, PROGRAM};
use crate::support::{QUICK, Stage, within};

/// Runs a command with the configuration of the stage.
fn run(stage: &Stage, arguments: &[&str]) -> Output {
    let path = stage.directory.path().join("zastava.yaml");
    std::fs::write(&path, stage.yaml()).expect("can be written");
    let mut command = Command::new(PROGRAM);
    // Before the command's name and after it.
    command.arg("--config").arg(path).args(arguments);
    for (key, value) in QUICK {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_running_program_and_whether_it_is_well() {
    let stage = Stage::start().await;
    let observer = Observer::start(&stage);
    let address = observer.address.clone();
    within(stage.sandbox.wait_until(|counts, _| counts.events_accepted > 0)).await;
    let status = within(async {
        loop {
            let output = run(&stage, &["status", "--json", "--address", &address]);
            let status: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
            assert_eq!(output.status.code(), Some(if status["well"] == true { 0 } else { 4 }), "{status}");
            // The first list of the host, and Scanner's answer, may be a moment away.
            if status["ready"] == true && status["lastEvents"][0].is_object() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(status["program"], "zastava-observer");
    assert_eq!(status["buffer"]["disk"], "ok");
    assert_eq!(status["deadLetters"]["count"], 0);

    let output = run(&stage, &["status", "--address", &address]);
    let shown = text(&output.stdout);
    for wanted in
        ["engine        host", "scanner       takes events", "CHECKS", "BUFFER", "LAST EVENTS", "TOKENS"]
    {
        assert!(shown.contains(wanted), "{wanted} is missing in\n{shown}");
    }
    assert!(!shown.contains("eyJ"), "no token is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_cannot_be_written_is_a_warning_and_not_well() {
    let stage = Stage::start().await;
    let buffer = stage.directory.path().join("in-the-way");
    std::fs::write(&buffer, "a file").expect("can be written");
    let buffer = buffer.display().to_string();
    let observer = Observer::start_with(
        &stage,
        &[("zastava.observer.engine", "host"), ("zastava.observer.eventBufferPath", &buffer)],
    );
    let shown = within(async {
        loop {
            let output = run(&stage, &["status", "--address", &observer.address]);
            let shown = text(&output.stdout);
            let warns = shown.lines().any(|line| line.starts_with("buffer") && line.contains("WARNS"));
            if shown.contains("runs, with warnings") && warns {
                assert_eq!(output.status.code(), Some(4), "{shown}");
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(shown.contains("events wait in memory"), "{shown}");
    assert!(observer.ask("/metrics").1.contains("zastava_buffer_disk_up 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_is_wrong_when_no_observer_answers() {
    let stage = Stage::start().await;
    let check = |address: &str, wanted: &str| {
        let output = run(&stage, &["status", "--address", address]);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.contains(wanted)), (Some(1), true), "{error}");
    };
    // A port that nobody else gets while it is bound, and that does not listen.
    let unheard = TcpListener::bind("127.0.0.1:0").expect("has a port");
    let address = unheard.local_addr().expect("has one").to_string();
    drop(unheard);
    check(&address, "does the observer run on this node");
    for (answer, wanted) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "is no zastava-observer: GET /status gave status 404",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n{\"program\":\"zastava-webhook\"}", "zastava-webhook answers at"),
    ] {
        let other = TcpListener::bind("127.0.0.1:0").expect("has a port");
        let address = other.local_addr().expect("has one").to_string();
        let server = std::thread::spawn(move || {
            let (mut client, _) = other.accept().expect("is asked");
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(answer.as_bytes());
        });
        check(&address, wanted);
        server.join().expect("has answered");
    }
    // The port of the tests' configuration is chosen by the system.
    let output = run(&stage, &["status"]);
    assert!(text(&output.stderr).contains("--address"), "{}", text(&output.stderr));
    assert_eq!(run(&stage, &["status", "--no-such"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_sent_again_and_dropped() {
    let stage = Stage::start().await;
    let list = |stage: &Stage| -> Vec<Value> {
        let output = run(stage, &["dead-letters", "list", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("is JSON")
    };
    assert!(list(&stage).is_empty());
    // Scanner refuses one event although nothing is wrong with it, and one that it can never take.
    let kind = FaultKind::Status { status: 400, retry_after: None };
    stage.sandbox.misbehave(Fault { route: Route::Events, kind, times: 1 });
    let engine = ("zastava.observer.engine", "containerd");
    left_behind_at(&stage, [event(0)]);
    let observer = Observer::start_with(&stage, &[engine]);
    within(async {
        while list(&stage).is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let letter = list(&stage).remove(0);
    assert_eq!(letter["event"]["event"]["eventId"], "event-0");
    let shown = text(&run(&stage, &["dead-letters", "list"]).stdout);
    let id = letter["id"].as_str().expect("has an id");
    for wanted in [id, EventKind::ContainerStart.name(zastava_core::contract::KindStyle::Pascal), "400"] {
        assert!(shown.contains(wanted), "{wanted} is missing in\n{shown}");
    }

    assert_eq!(run(&stage, &["dead-letters", "resend", "ffff"]).status.code(), Some(3));
    assert_eq!(run(&stage, &["dead-letters", "resend"]).status.code(), Some(2));
    assert_eq!(run(&stage, &["dead-letters", "resend", &id[..6]]).status.code(), Some(0));
    within(stage.sandbox.wait_until(|counts, _| counts.events_accepted == 1)).await;
    assert_eq!(stage.sandbox.accepted()[0].event.event_id, "event-0");
    assert!(list(&stage).is_empty());
    let accounting = within(async {
        loop {
            let accounting = observer.accounting();
            if accounting["delivered"] == 1 {
                return accounting;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // It was lost once, and observed once more.
    assert_eq!((&accounting["observed"], &accounting["dropped"]["dead_letter"]), (&2.into(), &1.into()));
    assert!(observer.ask("/metrics").1.contains("zastava_runtime_dead_letters_resent_total 1"));
    drop(observer);

    let letters = stage.directory.path().join("sandbox/dead-letter.jsonl");
    let line = r#"{"at":"2026-11-30T00:00:00Z","reason":"old","event":{"event":{}}}"#;
    std::fs::write(&letters, format!("{line}\n")).expect("can be written");
    assert_eq!(list(&stage).len(), 1);
    assert_eq!(run(&stage, &["dead-letters", "drop", "--all"]).status.code(), Some(0));
    assert_eq!(run(&stage, &["dead-letters", "drop", "--all"]).status.code(), Some(3));
    assert!(list(&stage).is_empty());
}
